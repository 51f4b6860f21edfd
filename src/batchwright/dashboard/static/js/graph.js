// The operations of a plan in layers, laid out by the service. Boxes change what they say with their size; text never does.
import { html, useMemo, useRef } from '../vendor/htm-preact.js';
import { Canvas, fitText, font, glyph, palette, rects } from './canvas.js';
import { put, useKeys, useQuery } from './store.js';
import { STATES, STRIP, WORST, many, num, operationOf } from './words.js';

const LOUD = ['failed', 'undo_failed', 'asking', 'in_doubt'], LIVE = ['retrying', 'undo_retrying', 'undoing', 'started', 'created'];
const PORTRAIT = 500; // below this width layers go down instead of to the right

export function Graph({ graph, view, zoom }) {
  const wanted = operationOf(view, useQuery('op'), useQuery('sel')), picked = (graph.nodes.find((node) => node.id === wanted) || graph.nodes.find((node) => node.operations.includes(wanted)))?.id || '', far = useQuery('reach'), limit = far === '' ? Infinity : Number(far), me = useRef({ hover: null, move: [0, 0], hits: [] }).current;
  const shape = useMemo(() => indexed(graph), [graph]);
  useKeys({ '[': () => put({ reach: Math.max(0, Math.min(limit, shape.layers) - 1) }), ']': () => put({ reach: limit + 1 >= shape.layers ? '' : limit + 1 }) });
  const counts = useMemo(() => summed(graph, view.operations), [graph, view.operations]);
  const paint = (c, w, h) => draw(c, w, h, { ...shape, counts, picked, me, zoom, limit });
  const at = (x, y) => me.hits.find((hit) => x >= hit.x - 2 && x <= hit.x + hit.w + 2 && y >= hit.y - 4 && y <= hit.y + hit.h + 4)?.id || null;
  const pick = (id) => put({ op: id || '', sel: '' });
  const open = (id) => put(graph.nodes.find((node) => node.id === id)?.operations.length > 1 ? { in: id, op: '' } : { open: id, op: id });
  const events = {
    pointerdown(event, x, y) { me.drag = { x, y, from: me.move, moved: false }; event.target.setPointerCapture(event.pointerId); },
    pointermove(event, x, y, soon) {
      if (me.drag && (me.drag.moved || Math.hypot(x - me.drag.x, y - me.drag.y) > 4)) {
        me.drag.moved = true;
        me.move = [me.drag.from[0] + x - me.drag.x, me.drag.from[1] + y - me.drag.y];
        return soon();
      }
      const id = at(x, y);
      event.target.style.cursor = id ? 'pointer' : 'default';
      event.target.title = id ? `${id}: ${sayings(counts.get(id))[0]}` : '';
      if (id !== me.hover) { me.hover = id; soon(); }
      return undefined;
    },
    pointerup(event, x, y) { const drag = me.drag; me.drag = null; if (!drag?.moved) pick(at(x, y)); },
    pointerleave(event, x, y, soon) { me.hover = null; soon(); },
    dblclick(event, x, y) { const id = at(x, y); if (id) open(id); },
    keydown(event) { // arrows go along the edges and within a layer
      const now = shape.nodes.get(picked) || graph.nodes[0], layer = graph.nodes.filter((node) => node.layer === now.layer).sort((a, b) => a.y - b.y), i = layer.indexOf(now);
      const to = { ArrowRight: shape.then.get(now.id)?.[0], ArrowLeft: shape.needs.get(now.id)?.[0], ArrowDown: layer[i + 1]?.id, ArrowUp: layer[i - 1]?.id }[event.key];
      if (to) pick(to);
      else if (event.key === 'Enter' && picked) open(picked);
      else if (event.key.startsWith('Arrow') && !picked) pick(now.id);
      else return event.key.startsWith('Arrow');
      return true;
    },
  };
  return html`<${Canvas} label=${`Graph of ${many(graph.nodes.length, 'operation')}. The list of operations says the same.`} paint=${paint} events=${events} />`;
}

function indexed(graph) {
  const nodes = new Map(graph.nodes.map((node) => [node.id, node])), needs = new Map(), then = new Map();
  for (const edge of graph.edges) {
    needs.set(edge.target, [...(needs.get(edge.target) || []), edge.source]);
    then.set(edge.source, [...(then.get(edge.source) || []), edge.target]);
  }
  return { graph, nodes, needs, then, layers: Math.max(1, graph.layers), tall: Math.max(1, graph.rows), mean: graph.nodes.reduce((n, node) => n + node.id.length, 0) / (graph.nodes.length || 1) };
}
/** What each node stands for: its operation, or the sum of those in its group. */
function summed(graph, operations) {
  const by = new Map(operations.map((op) => [op.id, op]));
  return new Map(graph.nodes.map((node) => {
    const sum = { id: node.id, provider: node.provider, done: 0, total: 0, counts: {} };
    for (const op of node.operations.map((id) => by.get(id)).filter(Boolean)) {
      sum.done += op.done;
      sum.total += op.total;
      for (const [state, n] of Object.entries(op.counts)) sum.counts[state] = (sum.counts[state] || 0) + n;
      if (node.operations.length === 1) { sum.state = op.state; sum.strip = op.strip; }
    }
    if (node.operations.length > 1) sum.state = together(sum.counts);
    return [node.id, sum];
  }));
}
/** What is before or after a node, at most `far` edges away. */
const reach = (id, next, far) => {
  const seen = new Set();
  for (let at = next.get(id) || []; at.length && far > 0; at = at.flatMap((each) => next.get(each) || []), far--) { at = at.filter((each) => !seen.has(each) && seen.add(each)); }
  return seen;
};
/** The state of several operations: the worst that says something, or how far they have got. */
const together = (counts) => [...LOUD, ...LIVE].find((state) => counts[state]) || (counts.waiting ? (counts.succeeded ? 'started' : 'waiting') : WORST.find((state) => counts[state]));
const worst = (op) => STATES[op?.state] ? op.state : WORST.find((state) => op?.counts[state]) || 'waiting';
function trouble({ counts }) {
  const bad = (counts.failed || 0) + (counts.undo_failed || 0);
  return bad ? `${num(bad)} failed` : counts.retrying ? `${num(counts.retrying)} retrying` : counts.skipped ? `${num(counts.skipped)} skipped` : '';
}
/** What a box says, the longest first: what fits is drawn whole, and what is wrong goes last. */
function sayings(op) {
  if (!op) return [''];
  if (op.counts.asking) return ['waits for a yes'];
  const done = `${num(op.done)} of ${num(op.total)}`, wrong = trouble(op), both = wrong ? `${done}, ${wrong}` : done;
  return [op.provider ? `${both} · ${op.provider}` : both, both, wrong || done, `${num(op.done)}/${num(op.total)}`];
}

/** Where boxes lie: their size, and the corner of a place in the layout. */
function geometry(w, h, { graph, layers, tall, mean, me, zoom }) {
  const down = w < PORTRAIT, room = [w - 32, h - 24], scale = zoom || 1;
  if (!graph.edges.length && layers === 1 && !down) { // nothing hangs together: as many columns as it takes to name them
    const columns = Math.min(Math.floor(room[0] / 112), Math.ceil(tall / Math.max(1, Math.floor(room[1] / 44)))), bw = Math.min(208, room[0] / columns - 8) * scale, bh = Math.min(52, Math.max(36, room[1] / Math.ceil(tall / columns) - 8)) * scale;
    const ox = 16 + Math.max(0, (room[0] - columns * (bw + 8)) / 2) + me.move[0], oy = 12 + Math.max(0, (room[1] - Math.ceil(tall / columns) * (bh + 8)) / 2) + me.move[1];
    return { down, bw, bh, gx: 8, gy: 8, named: false, place: (_, row) => { const i = Math.round(row - 0.5); return [ox + (i % columns) * (bw + 8), oy + Math.floor(i / columns) * (bh + 8)]; } };
  }
  let bw, bh, gx, gy, named;
  if (down) {
    bw = Math.min(168, Math.max(74, (room[0] / tall) * 0.9)); gx = Math.min(20, Math.max(6, (room[0] - bw * tall) / Math.max(1, tall - 1)));
    bh = Math.min(52, Math.max(36, (room[1] / layers) * 0.6)); gy = Math.min(48, Math.max(18, (room[1] - bh * layers) / Math.max(1, layers - 1)));
  } else {
    const share = room[0] / layers, u = room[1] / tall;
    bw = Math.min(208, Math.max(26, share * (share < 130 ? 0.82 : 0.74))); gx = Math.min(72, Math.max(6, (room[0] - bw * layers) / Math.max(1, layers - 1)));
    named = !(bw >= 104 && u * 0.8 >= 36) && bw < 120 && u >= 27 && bw + gx - 6 > mean * 3.9;
    bh = named ? Math.min(26, u - 17) : Math.min(52, Math.max(4, u * 0.8)); gy = named ? Math.min(40, u - bh) : Math.min(20, Math.max(1, (room[1] - bh * tall) / Math.max(1, tall - 1)));
  }
  named &&= scale === 1; // at another size the gap above a box may be too low for its name
  [bw, bh, gx, gy] = [Math.min(320, bw * scale), Math.min(56, bh * scale), gx * scale, gy * scale];
  const [across, along] = down ? [tall, layers] : [layers, tall], size = [across * bw + (across - 1) * gx, along * bh + (along - 1) * gy];
  const aside = (room[0] - size[0]) / 2, ox = 16 + (down ? aside : Math.max(0, aside)) + me.move[0], oy = 12 + (down ? 0 : Math.max(0, (room[1] - size[1]) / 2)) + (named ? 8 : 0) + me.move[1];
  const place = (layer, row) => down ? [ox + (row - 0.5) * (bw + gx), oy + layer * (bh + gy)] : [ox + layer * (bw + gx), oy + (row - 0.5) * (bh + gy)];
  return { down, bw, bh, gx, gy, named, place };
}

function draw(c, w, h, all) {
  const { graph, nodes, counts, picked, me } = all, at = geometry(w, h, all), { bw, bh, gx, place, down } = at;
  const up = picked ? reach(picked, all.needs, all.limit) : null, after = picked ? reach(picked, all.then, all.limit) : null;
  const kin = (id) => !picked || id === picked || up.has(id) || after.has(id);
  const line = (edge) => {
    const stops = [place(nodes.get(edge.source).layer, nodes.get(edge.source).y), ...edge.via.map(([layer, y]) => place(layer, y)), place(nodes.get(edge.target).layer, nodes.get(edge.target).y)];
    let [px, py] = down ? [stops[0][0] + bw / 2, stops[0][1] + bh] : [stops[0][0] + bw, stops[0][1] + bh / 2];
    c.moveTo(px, py);
    stops.slice(1).forEach(([x, y], i) => {
      const [tx, ty] = down ? [x + bw / 2, y] : [x, y + bh / 2], m = Math.max(6, (down ? ty - py : tx - px) / 2);
      if (down) c.bezierCurveTo(px, py + m, tx, ty - m, tx, ty);
      else c.bezierCurveTo(px + m, py, tx - m, ty, tx, ty);
      [px, py] = [tx, ty];
      if (i < stops.length - 2) { if (down) py += bh; else px += bw; c.lineTo(px, py); } // straight through a slot
    });
  };
  for (const soft of [false, true]) {
    c.beginPath();
    for (const edge of graph.edges) if ((edge.kind === 'soft') === soft) line(edge);
    c.setLineDash(soft ? [4, 3] : []);
    c.strokeStyle = palette[picked ? 'line' : 'line-2'];
    c.lineWidth = 1;
    c.stroke();
  }
  c.setLineDash([]);
  if (picked) {
    c.beginPath();
    const own = (id) => id === picked;
    for (const edge of graph.edges) if (((own(edge.target) || up.has(edge.target)) && up.has(edge.source)) || ((own(edge.source) || after.has(edge.source)) && after.has(edge.target))) line(edge);
    c.strokeStyle = palette['ink-2'];
    c.lineWidth = 1.25;
    c.stroke();
  }
  me.hits = [];
  const cells = [], dim = [], labels = [];
  for (const node of graph.nodes) {
    const [x, y] = place(node.layer, node.y).map(Math.round), op = counts.get(node.id);
    if (x > w || x + bw < 0 || y > h || y + bh < 0) continue;
    me.hits.push({ id: node.id, x, y, w: bw, h: bh });
    c.globalAlpha = kin(node.id) ? 1 : 0.5;
    box(c, x, y, node, op, at, all, kin(node.id) ? cells : dim, labels);
    if (node.id === picked || node.id === me.hover) {
      c.globalAlpha = 1;
      c.strokeStyle = palette.ink;
      c.lineWidth = node.id === picked ? 2 : 1;
      c.beginPath();
      c.roundRect(x - 2, y - 2, bw + 4, bh + 4, 5);
      c.stroke();
    }
  }
  c.globalAlpha = 0.5;
  rects(c, dim);
  c.globalAlpha = 1;
  rects(c, cells);
  c.font = font(11);
  for (const [text, x, y] of labels) {
    const width = c.measureText(text).width + 8, lx = Math.max(2, Math.min(x, w - width - 4)), ly = y > 22 ? y - 20 : y + bh + 4;
    c.fillStyle = palette.ink;
    c.fillRect(lx, ly, width, 16);
    c.fillStyle = palette.paper;
    c.fillText(text, lx + 4, ly + 12);
  }
  return gx;
}

function box(c, x, y, node, op, { bw, bh, gx, named }, { picked, me }, cells, labels) {
  const state = worst(op), loud = LOUD.includes(state), waits = state === 'waiting', whole = !op || op.counts[state] === op.total, full = !named && bw >= 70 && bh >= 30;
  c.fillStyle = palette.raised;
  c.beginPath();
  c.roundRect(x + 0.5, y + 0.5, bw - 1, bh - 1, Math.min(4, bh / 4));
  c.fill();
  c.strokeStyle = loud ? palette[STATES[state][2]] : LIVE.includes(state) ? palette['ink-2'] : palette[waits ? 'line-2' : 'line'];
  c.lineWidth = loud ? 1.5 : 1;
  c.setLineDash(waits ? [3, 3] : []);
  if (full || !whole || waits || (!named && bw >= 110 && bh >= 11)) c.stroke();
  c.setLineDash([]);
  if (full) {
    const small = bw < 96;
    glyph(c, state, x + (small ? 10 : 14), y + 13, small ? 10 : 12);
    c.font = font(small ? 11 : 12, 600);
    c.fillStyle = palette.ink;
    c.fillText(fitText(c, node.id, bw - (small ? 20 : 32)), x + (small ? 17 : 25), y + 17);
    if (bh >= 44) {
      c.font = font(11);
      c.fillStyle = palette['ink-2'];
      const all = sayings(op);
      c.fillText(fitText(c, all.find((text) => c.measureText(text).width <= bw - 16) || all.at(-1), bw - 16), x + 8, y + 31);
    }
    part(op, x + 8, y + bh - 10, bw - 16, 5, cells);
    return;
  }
  if (!named && bw >= 110 && bh >= 11) { // the name before the strip
    c.font = font(11);
    c.fillStyle = palette[waits ? 'ink-3' : 'ink'];
    c.fillText(fitText(c, node.id, bw * 0.6), x + 5, y + bh / 2 + 4);
    if (waits && whole) return;
    part(op, x + bw * 0.66, y + 3, bw * 0.34 - 4, bh - 6, cells);
    return;
  }
  if (named) {
    const room = loud || bw + gx > 88 ? 13 : 0;
    if (room) glyph(c, state, x + 5, y - 7, 10);
    c.font = font(11);
    c.fillStyle = palette[waits ? 'ink-3' : 'ink'];
    c.fillText(fitText(c, node.id, bw + gx - 6 - room), x + room, y - 4);
  } else if (node.id === picked || node.id === me.hover) labels.push([node.id, x, y]);
  if (!(whole && waits)) part(op, whole ? x : x + 2, whole ? y : y + 2, whole ? bw : bw - 4, whole ? bh : bh - 4, cells);
}

/** A cell for each step where three pixels are left for it; else lengths in the fixed order, never thinner than two. */
function part(op, x, y, w, h, out) {
  if (!op) return;
  const cells = op.strip?.flatMap(([state, n]) => Array(n).fill(state)) || [];
  if (cells.length > 1 && w / cells.length >= 3 && new Set(cells).size > 1) {
    const width = w / cells.length;
    cells.forEach((state, i) => out.push([state, Math.round(x + i * width), y, Math.max(2, Math.round(x + (i + 1) * width) - Math.round(x + i * width) - 1), h]));
    return;
  }
  const there = STRIP.filter((state) => op.counts[state]), sum = there.reduce((n, state) => n + op.counts[state], 0), min = 2, room = w - there.length * min;
  let at = x;
  there.forEach((state, i) => {
    const to = i === there.length - 1 ? x + w : at + min + (room * op.counts[state]) / sum;
    out.push([state, at, y, Math.max(1, to - at - (i < there.length - 1 ? 1 : 0)), h]);
    at = to;
  });
}
