// Small parts of every screen: states, strips, copying, dialogs, what was refused.
import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { notice, useTimeMode } from './store.js';
import { SHAPES, STATES, STRIP, clock, num, stamp } from './words.js';

const END = 16; // characters

export const Icon = ({ shape }) => html`<svg class="ic" viewBox="0 0 16 16" aria-hidden="true"><path d=${SHAPES[shape]} /></svg>`;
export const State = ({ of, word, big }) => {
  const [usual, shape, colour] = STATES[of] || [of, 'ring', 'wait'];
  return html`<span class=${`st c-${colour}${big ? ' big' : ''}`}><${Icon} shape=${shape} /><span>${word || usual}</span></span>`;
};
/** A name whose end is seen however narrow its place is: the end tells steps apart. Who uses it says the whole name to screen readers. */
export const Name = ({ of }) => html`<span class="cut" title=${of}><span class="el">${of.slice(0, -END)}</span><span>${of.slice(-END)}</span></span>`;
export const Mark = ({ shape, colour, children }) => html`<span class=${`st c-${colour}`}><${Icon} shape=${shape} /><span>${children}</span></span>`;

/** Counts as lengths, always in the same order. */
export function Strip({ counts, small }) {
  const there = STRIP.filter((state) => counts[state]);
  const label = there.map((state) => `${num(counts[state])} ${STATES[state][0]}`).join(', ') || 'nothing';
  return html`<span class=${'strip' + (small ? ' sm' : '')} role="img" aria-label=${label} title=${label}>
    ${there.map((state) => html`<i class=${'k-' + STATES[state][3]} style=${{ flex: `${counts[state]} 1 0` }} />`)}</span>`;
}

export function Time({ at, seconds }) {
  const mode = useTimeMode();
  return html`<time datetime=${at ? new Date(at * 1e3).toISOString() : ''} title=${stamp(at)}>${clock(at, mode, seconds)}</time>`;
}

export function Copy({ text, label = 'The command that does the same' }) {
  const [done, set] = useState(false);
  const copy = async () => { await navigator.clipboard?.writeText(text); set(true); setTimeout(() => set(false), 1500); };
  return html`<div class="copy"><code tabindex="0" role="textbox" aria-readonly="true" aria-label=${label}>${text}</code>
    <button class="btn bare" onClick=${copy}>${done ? 'Copied' : 'Copy'}</button></div>`;
}

/** What the service refused, and what to do: an error says what was not changed. */
export const Refused = ({ error }) => error ? html`<div class="box loud" role="alert"><h2>${error.status ? 'The service refuses this' : 'The service does not answer'}</h2>
  <p>${error.message}</p>${error.hint ? html`<p class="q">${error.hint}</p>` : ''}<${Diagnostics} items=${error.diagnostics || []} /></div>` : null;

export const Diagnostics = ({ items }) => items.length ? html`<ul class="diags">${items.map((one) => html`<li>
  <${Mark} shape=${one.severity === 'warning' ? 'warn' : 'cross'} colour=${one.severity === 'warning' ? 'retry' : 'bad'}>${one.severity || 'error'}<//>
  <span><span class="q">${one.line ? `line ${one.line}, column ${one.column}` : one.where || one.provider || ''} </span>${one.message}
  ${one.hint ? html` <span class="q">${one.hint}</span>` : ''}</span></li>`)}</ul>` : null;

export const Loading = ({ got, children }) => got.data ? children : got.error ? html`<${Refused} error=${got.error} />` : html`<p class="q" role="status">Asking the service…</p>`;

/** The first of many, and a button for more: a page of ten thousand things is no larger than one of a hundred. */
function useFirst(all, first) {
  const [most, set] = useState(first), left = all.length - most;
  return [all.slice(0, most), left > 0 ? html`<button class="btn bare more" onClick=${() => set(most + first)}>Show ${num(Math.min(first, left))} more of ${num(left)}</button>` : ''];
}
export function Some({ items, draw, className, first = 40 }) {
  const [seen, more] = useFirst(items, first);
  return html`<ul class=${className}>${seen.map(draw)}</ul>${more}`;
}
export function Table({ heads, rows, label, empty, first = 60 }) {
  const [seen, more] = useFirst(rows, first);
  if (!rows.length) return empty || null;
  return html`<div class="tbw" tabindex="0" role="region" aria-label=${label}><table class="tb" role="table"><thead role="rowgroup"><tr role="row">${heads.map(([name, kind]) => html`<th scope="col" role="columnheader" class=${kind || ''}>${name}</th>`)}</tr></thead>
    <tbody role="rowgroup">${seen.map((cells) => html`<tr role="row">${cells.map((cell, i) => html`<td role="cell" class=${heads[i][1] || ''} data-head=${heads[i][0]}>${cell === '' || cell == null ? '' : html`<div class="cl">${cell}</div>`}</td>`)}</tr>`)}</tbody></table>${more}</div>`;
}

export const Section = ({ title, about, tools, children }) => html`<section class="sec"><div class="row wrap"><h2>${title}</h2><span class="q t2 grow">${about}</span>${tools}</div>${children}</section>`;
export const Numbers = ({ items }) => html`<div class="nums">${items.filter(Boolean).map(([value, word, colour, sign]) => html`<div><b class=${colour ? 'c-' + colour : ''}>${sign ? html`<span class="dif">${sign}</span> ` : ''}${value}</b><span>${word}</span></div>`)}</div>`;
export const Facts = ({ items }) => html`<dl class="kv">${items.filter((item) => item && item[1] !== '' && item[1] != null).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;

export function Dialog({ title, onClose, children }) {
  const box = useRef();
  useEffect(() => { box.current.showModal(); }, []);
  return html`<dialog ref=${box} aria-label=${title} onClose=${onClose} onClick=${(e) => e.target === box.current && box.current.close()}>
    <div class="row"><h2 class="grow">${title}</h2><button class="btn bare" onClick=${() => box.current.close()}>Close <kbd>Esc</kbd></button></div>${children}</dialog>`;
}

/** A list that holds only the rows that are seen. `draw(i)` gives the content of a row. */
export function VirtualList({ count, height, draw, label, role = 'grid', selected = -1, className = '' }) {
  const box = useRef();
  const [seen, set] = useState([0, 40]);
  const look = () => {
    const { scrollTop, clientHeight } = box.current;
    const from = Math.max(0, Math.floor(scrollTop / height) - 6), to = Math.ceil((scrollTop + clientHeight) / height) + 6;
    set((was) => was[0] === from && was[1] === to ? was : [from, to]);
  };
  useEffect(() => {
    const watch = new ResizeObserver(look);
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    if (selected < 0) return;
    const y = selected * height, { scrollTop, clientHeight } = box.current;
    if (y < scrollTop || y + height > scrollTop + clientHeight) box.current.scrollTop = y - clientHeight * 0.4;
  }, [selected]);
  const rows = [];
  for (let i = seen[0]; i < Math.min(count, seen[1]); i++) rows.push(draw(i, { top: `${i * height}px`, height: `${height}px` }));
  return html`<div class=${'vt ' + className} ref=${box} tabindex="0" role=${role} aria-label=${label} aria-rowcount=${role === 'grid' ? count : undefined} onScroll=${look}>
    <div class="pad" role="presentation" style=${{ height: `${count * height}px` }}>${rows}</div></div>`;
}

/** Do something and say how it went; gives whether it was done. */
export async function act(deed, done) {
  try {
    const answer = await deed();
    notice.set(done ? { title: done, text: '' } : null);
    return answer;
  } catch (error) {
    notice.set({ title: error.status === 412 ? 'The run has moved on.' : error.status === 403 ? 'Your role does not allow this.' : 'Nothing was changed.', text: [error.message, error.hint].filter(Boolean).join('. '), bad: true });
    return null;
  }
}
