// A canvas that follows its box and the screen's density, and paints at most once per frame.
import { html, useEffect, useRef } from '../vendor/htm-preact.js';
import { SHAPES, STATES } from './words.js';

const NAMES = ['paper', 'surface', 'raised', 'pick', 'line', 'line-2', 'ink', 'ink-2', 'ink-3', 'wait', 'run', 'done', 'bad', 'retry', 'doubt', 'ask', 'undo', 'fill-done', 'fill-wait', 'on-solid'];
export const palette = {};
const ears = new Set();
function colours() { // asked of the page, so that both schemes and forced colours hold
  const probe = document.createElement('i');
  probe.style.forcedColorAdjust = 'none';
  document.body.append(probe);
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    palette[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  for (const ear of ears) ear();
}
for (const query of ['(prefers-color-scheme:dark)', '(forced-colors:active)']) matchMedia(query).addEventListener('change', colours);
new MutationObserver(colours).observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });

let left = -Infinity; // when a drawing that had the focus gave way to another one, which gets it
const FOLLOWS = 3000;

/** `paint(c, width, height)` draws; `events` are handlers that get the event and the place in the canvas. */
export function Canvas({ label, paint, events = {}, className = '' }) {
  const box = useRef(), canvas = useRef(), state = useRef({ want: 0 });
  state.current.paint = paint;
  state.current.events = events;
  const draw = () => {
    const { clientWidth: w, clientHeight: h } = box.current, d = devicePixelRatio || 1, cv = canvas.current;
    if (!w || !h) return;
    if (cv.width !== Math.round(w * d) || cv.height !== Math.round(h * d)) { cv.width = Math.round(w * d); cv.height = Math.round(h * d); }
    const c = cv.getContext('2d', { alpha: false });
    c.setTransform(d, 0, 0, d, 0, 0);
    c.fillStyle = palette.surface;
    c.fillRect(0, 0, w, h);
    state.current.paint(c, w, h);
  };
  const soon = () => { state.current.want ||= requestAnimationFrame(() => { state.current.want = 0; if (canvas.current) draw(); }); };
  useEffect(soon);
  useEffect(() => {
    colours();
    const watch = new ResizeObserver(soon);
    watch.observe(box.current);
    ears.add(soon);
    const cv = canvas.current, named = ['pointerdown', 'pointermove', 'pointerup', 'pointerleave', 'dblclick', 'wheel', 'keydown'];
    const hear = (event) => {
      const r = cv.getBoundingClientRect();
      if (state.current.events[event.type]?.(event, event.clientX - r.left, event.clientY - r.top, soon) === true) event.preventDefault();
    };
    for (const name of named) cv.addEventListener(name, hear, { passive: false });
    if (performance.now() - left < FOLLOWS && document.activeElement === document.body) cv.focus();
    return () => {
      if (document.activeElement === cv) left = performance.now(); watch.disconnect(); ears.delete(soon); cancelAnimationFrame(state.current.want); };
  }, []);
  return html`<div class=${'cv ' + className} ref=${box}><canvas ref=${canvas} tabindex="0" role="img" aria-label=${label} /></div>`;
}

let family = '';
export const font = (size, weight = 400) => `${weight} ${size}px ${family ||= getComputedStyle(document.body).fontFamily}`;
const paths = {};
/** The shape of a state, centred. */
export function glyph(c, state, x, y, size) {
  const [, shape, colour] = STATES[state] || STATES.waiting, s = size / 16;
  paths[shape] ||= new Path2D(SHAPES[shape]);
  c.save();
  c.translate(x - size / 2, y - size / 2);
  c.scale(s, s);
  c.fillStyle = palette[colour];
  c.fill(paths[shape], 'evenodd');
  c.restore();
}
const widths = new Map();
/** Cut in the middle: the end of a name tells more than its middle. */
export function fitText(c, text, width) {
  const key = c.font + text;
  if (widths.size > 5000) widths.clear();
  if (!widths.has(key)) widths.set(key, c.measureText(text).width);
  const full = widths.get(key);
  if (full <= width) return text;
  for (let n = Math.floor((text.length * (width - 10)) / full); n >= 3; n--) {
    const tail = Math.ceil(n * 0.45), cut = `${text.slice(0, n - tail)}…${text.slice(text.length - tail)}`;
    if (c.measureText(cut).width <= width) return cut;
  }
  return '';
}

const SOLID = { succeeded: 'fill-done', started: 'run', created: 'run', retrying: 'retry', undo_retrying: 'retry', in_doubt: 'doubt', asking: 'ask', failed: 'bad', undo_failed: 'bad', undoing: 'undo' };
export const solid = (state) => palette[SOLID[state] || (state === 'undone' ? 'undo' : 'fill-wait')];
/** Parts of strips: [state, x, y, width, height], one path for each state. */
export function rects(c, list) {
  const by = new Map();
  for (const part of list) by.set(part[0], [...(by.get(part[0]) || []), part]);
  for (const [state, parts] of by) {
    c.beginPath();
    if (SOLID[state]) {
      for (const [, x, y, w, h] of parts) c.rect(x, y, w, h);
      c.fillStyle = palette[SOLID[state]];
      c.fill();
      continue;
    }
    for (const [, x, y, w, h] of parts) {
      if (w > 2.5 && h > 2.5) c.rect(x + 0.5, y + 0.5, w - 1, h - 1);
      else c.rect(x + w / 2, y, 0.01, h);
      if (state === 'skipped' || state === 'not_wanted') for (let at = x + 3; at < x + w; at += 4) { c.moveTo(at - 3, y + h); c.lineTo(at, y); }
    }
    c.strokeStyle = palette[state === 'undone' ? 'undo' : 'fill-wait'];
    c.lineWidth = 1;
    c.stroke();
  }
}
