// The operations of a run as a list: the graph's accessible twin.
import { html } from '../vendor/htm-preact.js';
import { Icon, Name, Strip, VirtualList } from './parts.js';
import { put, useQuery } from './store.js';
import { STATES, WORST, num } from './words.js';

/** Every operation with a strip of its steps: the whole plan, what has not begun too. */
export function Operations({ view }) {
  const picked = useQuery('op'), operations = view.operations;
  return html`<div class="sh ops" aria-hidden="true"><span>Operation</span><span>Steps</span><span class="n">Done</span><span>Waits for</span></div>
    <${VirtualList} className="ops" count=${operations.length} height=${32} label="List of operations" selected=${operations.findIndex((op) => op.id === picked)} draw=${(i, style) => html`<${Row} op=${operations[i]} i=${i} style=${style} picked=${operations[i].id === picked} key=${operations[i].id} />`} />`;
}
function Row({ op, i, style, picked }) {
  const [usual, shape, colour] = STATES[op.state] || STATES[WORST.find((state) => op.counts[state])] || STATES.waiting, word = op.word || usual, waits = op.waiting_for.join(', ');
  return html`<div class=${'vr' + (picked ? ' sel' : '')} role="row" aria-rowindex=${i + 1} style=${style}><span role="gridcell" class="row"><button class="btn bare name" aria-label=${`${op.id}, ${word}`} aria-pressed=${String(picked)} onClick=${() => put({ op: picked ? '' : op.id, sel: '' })}>
      <span class=${'c-' + colour} title=${word}><${Icon} shape=${shape} /></span><${Name} of=${op.id} /></button><span class="q t2 el hide-s">${op.type.replaceAll('_', ' ')}${op.provider ? ` · ${op.provider}` : ''}</span></span>
    <span role="gridcell"><${Strip} counts=${op.counts} small /></span><span role="gridcell" class="n">${num(op.done)} of ${num(op.total)}</span><span role="gridcell" class="q hide-s el" title=${waits}>${waits}</span></div>`;
}
