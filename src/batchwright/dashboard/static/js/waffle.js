// All steps of one operation, a cell for each in the order of the plan. A cell is picked by pointer or keys.
import { html, useRef } from '../vendor/htm-preact.js';
import { Canvas, palette, rects } from './canvas.js';
import { ask, one, useGet } from './net.js';
import { Loading, act } from './parts.js';
import { put, useQuery } from './store.js';
import { STATES, many } from './words.js';

const CELLS = 10_000, MARGIN = 16;

export function Waffle({ run, operation, view }) {
  const at = useQuery('at'), me = useRef({ here: 0, hover: -1 }).current;
  const got = useGet(`${one(run)}/operations`, { query: { at, cells: CELLS, operation }, when: view.operations.find((op) => op.id === operation) });
  const cells = got.data?.items[0]?.strip.flatMap(([state, n]) => Array(n).fill(state)) || [];
  const cellAt = (x, y) => {
    const column = Math.floor((x - MARGIN) / me.size), i = Math.floor((y - MARGIN) / me.size) * me.across + column;
    return x > MARGIN && column < me.across && y > MARGIN && i < cells.length ? i : -1;
  };
  const pick = (i) => act(async () => {
    const { data } = await ask(`${one(run)}/steps`, { query: { operation, at, counted: true, offset: i, limit: 1 } });
    put({ sel: data.items[0]?.step, op: operation });
  });
  const events = {
    pointerdown(event, x, y, soon) { const i = cellAt(x, y); if (i >= 0) { me.here = i; soon(); pick(i); } },
    pointermove(event, x, y, soon) {
      const i = cellAt(x, y);
      event.target.title = i < 0 ? '' : `${i + 1} of ${cells.length}: ${STATES[cells[i]][0]}`;
      event.target.style.cursor = i < 0 ? 'default' : 'pointer';
      if (i !== me.hover) { me.hover = i; soon(); }
    },
    pointerleave(event, x, y, soon) { me.hover = -1; soon(); },
    keydown(event, x, y, soon) {
      const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: me.across, ArrowUp: -me.across }[event.key];
      if (event.key === 'Enter' && cells.length) pick(me.here);
      else if (by) { me.here = Math.max(0, Math.min(cells.length - 1, me.here + by)); soon(); }
      else return false;
      return true;
    },
  };
  const paint = (c, w, h) => {
    const room = [w - 2 * MARGIN, h - 2 * MARGIN];
    me.size = Math.max(4, Math.min(24, Math.floor(Math.sqrt((room[0] * room[1]) / Math.max(1, cells.length)))));
    while (me.size > 4 && Math.ceil(cells.length / Math.floor(room[0] / me.size)) * me.size > room[1]) me.size--;
    me.across = Math.max(1, Math.floor(room[0] / me.size));
    const place = (i) => [MARGIN + (i % me.across) * me.size, MARGIN + Math.floor(i / me.across) * me.size], gap = me.size > 8 ? 2 : 1;
    rects(c, cells.map((state, i) => [state, ...place(i), me.size - gap, me.size - gap]));
    for (const [i, width] of [[me.hover, 1], [document.activeElement === c.canvas ? me.here : -1, 2]]) {
      if (i < 0 || i >= cells.length) continue;
      const [x, y] = place(i);
      c.strokeStyle = palette.ink;
      c.lineWidth = width;
      c.strokeRect(x - 1, y - 1, me.size - gap + 2, me.size - gap + 2);
    }
  };
  return html`<${Loading} got=${got}><${Canvas} label=${`${many(cells.length, 'step')} of ${operation}. The table of steps says the same.`} paint=${paint} events=${events} /><//>`;
}
