// What happened when, as the journal has it: bars of steps or bands of operations, and the lives of the processes.
import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { Canvas, fitText, font, glyph, palette, rects, solid } from './canvas.js';
import { one, useGet } from './net.js';
import { picked as pickedStep, put, useKeys, useQuery, useStore, useTimeMode } from './store.js';
import { clock, dur, many, num, operationOf } from './words.js';

const HEAD = 40, FOLD = 44, END = 14, ROW = 24; // pixels: the head, a folded pause, the right margin, a row that a finger can hit
const gutterOf = (w) => w < 520 ? 112 : Math.min(208, Math.round(w * 0.22));
const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400];
const BANDS = ['succeeded', 'undone', 'asking', 'started', 'created', 'undoing', 'retrying', 'undo_retrying', 'in_doubt', 'failed', 'undo_failed'];

export function Timeline({ run, view, when, tabs }) {
  const me = useRef({ top: 0, hover: null }).current, mode = useTimeMode(), sel = useQuery('sel'), step = useStore(pickedStep), range = useQuery('range');
  const op = operationOf(view, useQuery('op'), sel), span = range && range.split('-').map(Number);
  const [fold, setFold] = useState(true), [all, setAll] = useState(false), [open, setOpen] = useState([]), [width, setWidth] = useState(0);
  const at = useQuery('at'), query = { at, width, begin: span[0] ?? '', end: span[1] ?? '', ahead: true, fold: fold ? FOLD : 0, operation: open };
  const show = (begin, end) => put({ range: `${begin.toFixed(3)}-${end.toFixed(3)}` }), whole = () => put({ range: '' });
  const got = useGet(width ? `${one(run)}/timeline` : '', { when: at ? 0 : when, query }), data = got.data;
  useEffect(() => { if (me.want && me.want !== width) setWidth(me.want); });
  const rows = data ? rowsOf(data) : [];
  const pick = (row) => put(row?.step ? { sel: row.step, op: '' } : { op: row?.operation || '', sel: '' });
  const rowAt = (y) => y > HEAD ? me.at?.find((each) => y >= each.y && y < each.y + each.h)?.row || null : null;
  const events = {
    pointerdown(event, x, y) { me.drag = { x, y, t: me.T?.(x), moved: false }; event.target.setPointerCapture(event.pointerId); },
    pointermove(event, x, y, soon) {
      if (me.drag && x > me.gutter && Math.abs(x - me.drag.x) > 5) { me.drag.moved = true; me.range = [Math.min(me.drag.t, me.T(x)), Math.max(me.drag.t, me.T(x))]; return soon(); }
      const row = rowAt(y);
      event.target.title = row ? told(row) : '';
      event.target.style.cursor = row ? 'pointer' : x > me.gutter ? 'crosshair' : 'default';
      if (row !== me.hover) { me.hover = row; soon(); }
      return undefined;
    },
    pointerup(event, x, y) {
      const drag = me.drag;
      me.drag = null;
      if (drag?.moved && me.range) { show(...me.range); me.range = null; return; }
      pick(rowAt(y));
    },
    dblclick(event, x, y) {
      if (y < HEAD && data && x > me.gutter) { // the moment that is pointed at
        const column = ((x - me.gutter) / Math.max(1, me.want)) * data.width, seen = data.columns.filter(([each]) => each <= column).at(-1) || data.columns[0];
        return put({ at: seen[1] });
      }
      const row = rowAt(y); if (row && !row.step) setOpen(open.includes(row.operation) ? open.filter((each) => each !== row.operation) : [...open, row.operation]);
      return undefined;
    },
    pointerleave(event, x, y, soon) { me.hover = null; soon(); },
    wheel(event, x, y, soon) {
      if (event.ctrlKey || event.metaKey || !me.most) return false;
      const was = me.top;
      me.top = Math.max(0, Math.min(me.most, me.top + event.deltaY));
      soon();
      return was !== me.top;
    },
    keydown(event, x, y, soon) {
      const by = { ArrowDown: 40, ArrowUp: -40 }[event.key];
      if (by) { me.top = Math.max(0, Math.min(me.most || 0, me.top + by)); soon(); return true; }
      const aside = { ArrowRight: 0.2, ArrowLeft: -0.2 }[event.key];
      if (aside && span) { const far = (span[1] - span[0]) * aside; show(span[0] + far, span[1] + far); return true; }
      return !!aside;
    },
  };
  useKeys({ i: () => setFold(!fold), a: () => { me.top = 0; setAll(!all); }, Escape: () => span ? whole() : false });
  const killed = data?.lives.filter((life) => life.why === 'killed').length || 0;
  return html`<div class="ph">${tabs}<h2 class="own">Timeline</h2><span class="q t2 el grow lab">${data ? `${dur(data.now - data.run_begin)}${killed ? `, killed ${killed === 1 ? 'once' : `${killed} times`}` : ''}; drag over a part to see only that` : ''}</span><span class="grow" />
      ${data?.axis.some((part) => part.idle) || !fold ? html`<button class="btn bare opt" aria-pressed=${String(fold)} title="Fold the time in which nothing happened (i)" onClick=${() => setFold(!fold)}>Fold idle</button>` : ''}${rows.length > 24 ? html`<button class="btn bare opt" aria-pressed=${String(all)} title="All rows at once (a)" onClick=${() => { me.top = 0; setAll(!all); }}>All rows</button>` : ''}${span ? html`<button class="btn bare" onClick=${whole}>Whole run</button>` : ''}</div>
    ${got.error && !data ? html`<div class="empty"><p>The timeline could not be drawn.</p><p class="q">${got.error.message}</p></div>` : html`<${Canvas} label=${`Timeline of ${many(view.total, 'step')}. The table of steps says the same.`} events=${events}
      paint=${(c, w, h) => {
        me.want = Math.max(50, Math.round(w - gutterOf(w) - END));
        if (me.want !== width) setTimeout(() => setWidth(me.want));
        if (data) draw(c, w, h, { data, rows, me, mode, sel, op, all, step });
      }} />`}`;
}

/** A row for each step of a small run; else one for each operation as they began, with the steps of those that are opened. */
function rowsOf(data) {
  if (data.steps.length && !data.steps_more && data.steps.length === data.operations.reduce((n, each) => n + each.steps, 0)) return data.steps;
  const steps = new Map();
  for (const step of data.steps) steps.set(step.operation, [...(steps.get(step.operation) || []), step]);
  const ordered = [...data.operations].sort((a, b) => (a.begin || Infinity) - (b.begin || Infinity) || 0);
  return ordered.flatMap((each) => [each, ...(steps.get(each.operation) || [])]);
}
const told = (row) => row.step ? `${row.step}: ${row.bars.map((bar) => `${shown(bar).replaceAll('_', ' ')} ${dur(bar.end - bar.begin)}`).join(', ') || row.state}` : `${row.operation}: ${many(row.steps, 'step')}; double click opens it`;
/** What a stay in a state shows: a call that is over shows what came of it. */
function shown({ state, next }) {
  if (!next || !['started', 'created', 'undoing'].includes(state)) return state;
  if (['failed', 'retrying', 'undo_failed', 'undo_retrying'].includes(next)) return next;
  return state === 'undoing' ? 'undone' : 'succeeded';
}

/** Time to x and back, in the straight pieces that the service chose; a folded pause has a fixed width. */
function scale(data, gutter, w) {
  const ratio = (w - gutter - END) / data.width;
  const parts = data.axis.map((part) => ({ a: part.begin, b: part.end, x: gutter + part.x * ratio, to: gutter + part.until * ratio, folded: part.idle }));
  if (!parts.length) parts.push({ a: data.begin, b: data.begin + 1, x: gutter, to: w - END });
  const X = (at) => { const p = parts.find((each) => at <= each.b) || parts.at(-1); return p.x + ((at - p.a) / (p.b - p.a || 1)) * (p.to - p.x); };
  const T = (at) => { const p = parts.find((each) => at <= each.to) || parts.at(-1); return p.a + ((at - p.x) / (p.to - p.x || 1)) * (p.b - p.a); };
  const straight = parts.filter((part) => !part.folded), k = straight.reduce((n, p) => n + p.to - p.x, 0) / (straight.reduce((n, p) => n + p.b - p.a, 0) || 1);
  return { X, T, parts, k, column: (x) => gutter + x * ratio };
}

function draw(c, w, h, { data, rows, me, mode, sel, op, all, step }) {
  const few = rows.length && rows[0].step, gutter = gutterOf(w), s = scale(data, gutter, w), each = (h - HEAD - 8) / (rows.length || 1);
  const tall = all ? Math.max(2, Math.min(28, each)) : few ? ROW : Math.max(ROW, Math.min(28, each)), expected = new Map(data.operations.map((one) => [one.operation, one.expected]));
  Object.assign(me, { gutter, T: s.T, most: Math.max(0, tall * rows.length - (h - HEAD)), at: [] });
  me.top = Math.min(me.top, me.most);
  ground(c, w, h, data, s);
  const parts = [], retries = [], doubts = [], texts = [];
  rows.forEach((row, i) => {
    const y = HEAD - me.top + i * tall, picked = row.step ? row.step === sel : row.operation === op && !sel;
    if (y > h || y + tall < HEAD) return;
    me.at.push({ y, h: tall, row });
    if (picked || row === me.hover) { c.fillStyle = palette.pick; c.fillRect(0, y, w, tall); if (picked) { c.fillStyle = palette.ink; c.fillRect(0, y, 3, tall); } }
    if (few && i && rows[i - 1].operation !== row.operation) { c.fillStyle = palette.line; c.fillRect(8, Math.round(y), w - 8, 1); }
    if (row.step) bars(c, row, y, tall, s, parts, retries, doubts);
    else band(c, row, y, tall, s, gutter, w);
    ahead(c, row, expected.get(row.operation), y, tall, s, data.now, w);
    if (!row.step && step?.step === sel && step.operation === row.operation && step.begin) { c.fillStyle = palette.ink; c.fillRect(s.X(step.begin), y + tall - 3, Math.max(3, s.X(step.end || data.now) - s.X(step.begin)), 3); }
    if (tall >= 12) texts.push([row, y, picked]);
  });
  rects(c, parts);
  c.strokeStyle = palette.retry;
  c.lineWidth = 1.5;
  c.setLineDash([1.5, 2]);
  c.beginPath();
  for (const [a, b, y] of retries) { c.moveTo(a, y); c.lineTo(b, y); }
  c.stroke();
  c.setLineDash([]);
  for (const [x, y, width, height] of doubts) hatch(c, x, y, width, height);
  c.fillStyle = palette.surface;
  c.fillRect(0, HEAD, gutter - 4, h);
  for (const [row, y, picked] of texts) name(c, row, y, tall, gutter, picked, row === me.hover, s, few, w);
  head(c, w, h, data, s, gutter, mode);
  if (me.range) {
    const [a, b] = me.range.map(s.X);
    c.fillStyle = palette.paper;
    c.globalAlpha = 0.72;
    c.fillRect(gutter, HEAD, a - gutter, h);
    c.fillRect(b, HEAD, w - b, h);
    c.globalAlpha = 1;
    c.fillStyle = palette.ink;
    c.fillRect(a, HEAD - 4, b - a, 4);
  }
  if (me.most > 0) { const room = h - HEAD, all = tall * rows.length; c.fillStyle = palette['line-2']; c.fillRect(w - 4, HEAD + (me.top / all) * room, 3, Math.max(16, (room * room) / all)); }
}

/** Folded time, and the time in which nobody drove. */
function ground(c, w, h, data, s) {
  c.fillStyle = palette.paper;
  for (const part of s.parts) if (part.folded) c.fillRect(part.x, HEAD, part.to - part.x, h);
  data.lives.forEach((life, i) => {
    if (life.why !== 'killed') return;
    const next = data.lives[i + 1], x1 = s.X(life.end), x2 = Math.max(x1 + 2, s.X(next ? next.begin : data.now));
    c.save();
    c.beginPath();
    c.rect(x1, HEAD, x2 - x1, h);
    c.clip();
    c.beginPath();
    for (let x = x1 - h; x < x2; x += 7) { c.moveTo(x, h); c.lineTo(x + h, 0); }
    c.strokeStyle = palette.line;
    c.lineWidth = 1;
    c.stroke();
    c.restore();
  });
}

/** When the rest of an operation may run: a dashed outline, right of now. */
function ahead(c, row, expected, y, tall, s, now, w) {
  if (!expected || (row.step && ['succeeded', 'failed', 'skipped', 'not_wanted', 'asking'].includes(row.state))) return;
  const x1 = Math.round(s.X(Math.max(now, row.step && row.bars.length ? now : expected[0]))) + 2.5, x2 = Math.min(w + 8, Math.round(s.X(expected[1])) + 0.5), height = Math.max(2, Math.min(10, tall - 8));
  if (x2 - x1 < 3 || x1 > w) return;
  c.strokeStyle = palette['line-2'];
  c.lineWidth = 1;
  c.setLineDash([3, 3]);
  c.strokeRect(x1, Math.round(y + (tall - height) / 2) + 0.5, x2 - x1, height);
  c.setLineDash([]);
}

function bars(c, row, y, tall, s, parts, retries, doubts) {
  const height = Math.max(2, Math.min(10, tall - 6)), by = Math.round(y + (tall - height) / 2), begin = row.bars[0]?.begin;
  if (row.ready && begin && s.X(begin) - s.X(row.ready) > 3) { // it could have begun, but there was no place free
    c.fillStyle = palette['line-2'];
    c.fillRect(s.X(row.ready), by + height / 2, s.X(begin) - s.X(row.ready), 1);
    c.fillRect(s.X(row.ready), by + 2, 1, height - 4);
  }
  for (const bar of row.bars) {
    const state = shown(bar), x1 = s.X(bar.begin), x2 = Math.max(x1 + 3, s.X(bar.end));
    if (bar.state === 'retrying' || bar.state === 'undo_retrying') retries.push([x1, x2, by + height / 2]);
    else if (state === 'in_doubt') doubts.push([x1, by, x2 - x1, height]);
    else if (state === 'asking') parts.push([state, x1, by + height / 2 - 1, x2 - x1, 3]);
    else parts.push([state, x1, by, x2 - x1, height]);
  }
  for (const at of row.failures) if (!row.bars.some((bar) => at >= bar.begin && at <= bar.end)) parts.push(['failed', s.X(at) - 1, by - 1, 3, height + 2]);
}
function hatch(c, x, y, w, h) {
  c.save();
  c.beginPath();
  c.rect(x, y, w, h);
  c.fillStyle = palette.surface;
  c.fill();
  c.clip();
  c.beginPath();
  for (let i = x - h; i < x + w; i += 4) { c.moveTo(i, y + h); c.lineTo(i + h, y); }
  c.strokeStyle = palette.doubt;
  c.lineWidth = 1.5;
  c.stroke();
  c.restore();
  c.strokeStyle = palette.doubt;
  c.lineWidth = 1;
  c.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
}

/** How many steps of an operation were in flight, stacked by kind; what failed stands over it and is never averaged away. */
function band(c, row, y, tall, s, gutter, w) {
  const base = y + tall - 2, unit = (tall - 5) / Math.max(1, row.most), order = BANDS.filter((state) => row.states.includes(state)).map((state) => [state, row.states.indexOf(state) + 1]);
  row.buckets.forEach((bucket, i) => {
    const x1 = Math.max(gutter, s.column(bucket[0])), x2 = Math.min(w, Math.max(x1 + 1, s.column(row.buckets[i + 1]?.[0] ?? bucket[0])));
    let at = base;
    for (const [state, n] of order) {
      if (!bucket[n]) continue;
      const height = Math.max(2, bucket[n] * unit);
      c.globalAlpha = state === 'undone' ? 0.55 : 1;
      c.fillStyle = solid(state);
      c.fillRect(x1, at - height, x2 - x1, height);
      at -= height;
    }
  });
  c.globalAlpha = 1;
  failures(c, row, y, tall, s, w);
}

/** A tick for each failure; those that would touch are one block with their number. */
function failures(c, row, y, tall, s, w) {
  const blocks = [];
  for (const [column, n] of row.failures) {
    const x = Math.round(s.column(column)), last = blocks.at(-1);
    if (last && x - last.to < 5) { last.to = x; last.n += n; } else blocks.push({ from: x, to: x, n });
  }
  c.fillStyle = palette.bad;
  c.font = font(11, 600);
  blocks.forEach(({ from, to, n }, i) => {
    c.fillRect(from - 1, y + 1, to - from + 2, Math.min(6, tall - 1));
    const width = n > 1 && tall >= 18 ? c.measureText(num(n)).width : 0;
    if (width && to + width + 8 < (blocks[i + 1]?.from ?? w)) c.fillText(num(n), to + 4, y + 10);
  });
}

function name(c, row, y, tall, gutter, picked, hover, s, few, w) {
  if (picked || hover) { c.fillStyle = palette.pick; c.fillRect(picked ? 3 : 0, y, gutter - 4, tall); }
  const x0 = (gutter < 120 ? 8 : 16) + (row.step && !few ? 12 : 0);
  glyph(c, row.state, x0 + 5, y + tall / 2, 10);
  c.font = font(12, row.step ? 400 : 600);
  c.fillStyle = palette[['waiting', 'never_began'].includes(row.state) ? 'ink-3' : 'ink'];
  let right = gutter - 12;
  if (!row.step && gutter > 150) {
    c.font = font(11);
    c.textAlign = 'right';
    c.fillText(num(row.steps), right, y + tall / 2 + 4);
    c.textAlign = 'left';
    right -= 30;
    c.font = font(12, 600);
  }
  const room = right - x0 - 15, rest = row.step?.slice(row.operation.length + 1), names = row.step ? [row.step, rest, rest.split('/')[0]] : [row.operation]; // the operation is seen from the rows around
  c.fillText(fitText(c, names.find((text) => c.measureText(text).width <= room) || names.at(-1), room), x0 + 15, y + tall / 2 + 4);
  const last = row.step && row.bars.at(-1);
  if (!few || !last || (!last.next && row.state !== 'failed')) return;
  const text = row.state === 'failed' ? 'failed' : dur(last.end - (last.state === 'undoing' ? last : row.bars[0]).begin), x = s.X(last.end) + 7;
  c.font = font(11);
  c.fillStyle = palette[row.state === 'failed' ? 'bad' : 'ink-2'];
  if (x > gutter && x + c.measureText(text).width < w - 4) c.fillText(text, x, y + tall / 2 + 4);
}

/** Clock times above; below them the processes that drove the run, and when they were killed. */
function head(c, w, h, data, s, gutter, mode) {
  c.fillStyle = palette.surface;
  c.fillRect(0, 0, w, HEAD);
  c.fillStyle = palette.line;
  c.fillRect(0, HEAD - 1, w, 1);
  c.font = font(11);
  const now = s.X(data.now), step = TICKS.find((each) => each * s.k >= 92) || 86400;
  let free = gutter - 3;
  for (const part of s.parts) {
    if (part.folded) {
      c.textAlign = 'center';
      c.fillStyle = palette['ink-2'];
      c.fillText(dur(part.b - part.a).split(' ').slice(0, 2).join(' '), (part.x + part.to) / 2, 14);
      c.fillText('idle', (part.x + part.to) / 2, 31);
      c.textAlign = 'left';
      free = part.to + 4;
      continue;
    }
    for (let t = Math.ceil(part.a / step) * step; t <= part.b; t += step) {
      const x = s.X(t), text = clock(t, mode) + (step < 1 ? (t % 1).toFixed(1).slice(1) : ''), width = c.measureText(text).width;
      if (x <= free || x + width > w - 4 || (x + width + 8 > now && x < now + 60)) continue;
      c.fillStyle = palette['line-2'];
      c.fillRect(Math.round(x), 4, 1, 12);
      c.fillStyle = palette['ink-2'];
      c.fillText(text, Math.round(x) + 4, 14);
      free = x + width + 12;
    }
  }
  c.fillStyle = palette['ink-3'];
  if (gutter > 120) c.fillText('driven by', 16, 31);
  data.lives.forEach((life, i) => {
    const end = life.end || data.now, x1 = Math.max(gutter, s.X(life.begin)), x2 = Math.min(w - END, s.X(end));
    if (x2 < gutter || x1 > w) return;
    c.fillStyle = palette['ink-2'];
    c.fillRect(x1, 34, Math.max(1, x2 - x1), 2);
    if (i) c.fillRect(Math.round(x1), 20, 1, h);
    const room = x2 - x1 - (life.why === 'killed' ? 50 : 9), word = [`life ${life.n} · ${life.host} · ${life.pid}`, `life ${life.n} · ${life.host}`, `life ${life.n}`, String(life.n)].find((each) => c.measureText(each).width < room);
    if (word) c.fillText(word, x1 + 5, 31);
    if (life.why !== 'killed') return;
    for (let y = 20; y < h; y += 5) c.fillRect(Math.round(x2), y, 1, 3);
    if (x2 - x1 > 44) { c.textAlign = 'right'; c.fillText('killed', x2 - 4, 31); c.textAlign = 'left'; }
  });
  if (now < gutter || now > w) return;
  c.fillStyle = palette.ink;
  c.fillRect(Math.round(now), 4, 1, h);
  c.beginPath();
  c.moveTo(now - 4, 1);
  c.lineTo(now + 5, 1);
  c.lineTo(now + 0.5, 8);
  c.fill();
}
