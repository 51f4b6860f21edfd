// The table of steps: filters, groups of failures, only the rows that are seen. It is the accessible twin of the drawings.
import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { again, ask, one } from './net.js';
import { Name, Refused, State, Strip, VirtualList } from './parts.js';
import { go, href, live, notice, put, useKeys, useQuery } from './store.js';
import { STATES, WORST, dur, many, num } from './words.js';

const PAGE = 100; // steps asked for at a time

/** Pages of the matching steps: those that are seen, asked again when the run has changed. */
function usePages(run, query, when) {
  const key = run + JSON.stringify(query), pages = useRef({}), asked = useRef(new Set()), [state, set] = useState({ matching: 0, total: 0, error: null });
  const first = useRef(key);
  const load = async (page) => {
    const question = `${key} ${page}`;
    if (asked.current.has(question)) return;
    asked.current.add(question);
    try {
      const { data } = await ask(`${one(run)}/steps`, { query: { ...query, offset: page * PAGE, limit: PAGE } });
      if (first.current !== key) return; // the answer to what was typed before
      pages.current[page] = data.items;
      set({ matching: data.matching, total: data.total - data.uncounted, counted: data.matching - data.matching_uncounted, time: data.time, counts: data.counts, suggestion: data.suggestion, error: null, key });
    } catch (error) {
      if (first.current === key) set((was) => ({ ...was, error, key }));
    } finally {
      asked.current.delete(question);
    }
  };
  if (first.current !== key) { first.current = key; pages.current = {}; }
  useEffect(() => {
    const there = Object.keys(pages.current).map(Number);
    for (const page of there.length ? there.slice(-3) : [0]) load(page);
    return again.on(() => load(0));
  }, [key, when]);
  const row = (i) => {
    const page = Math.floor(i / PAGE), items = pages.current[page];
    if (!items && live.get().ok) load(page);
    return items?.[i % PAGE];
  };
  const index = (step) => {
    for (const [page, items] of Object.entries(pages.current)) {
      const i = items.findIndex((one) => one.step === step);
      if (i >= 0) return page * PAGE + i;
    }
    return -1;
  };
  return { ...state, row, index, loaded: () => Object.values(pages.current).flat() };
}

const NONE = { only: '', f: '', op: '', cause: '', range: '' };
const ORDERS = [['state', 'by state'], ['operation', 'by operation'], ['worst', 'worst first'], ['plan', 'as planned']];
const took = (step, time) => step.started_at && !['skipped', 'waiting', 'not_wanted'].includes(step.state) ? dur((step.ended_at || time) - step.started_at) : '';

/** Groups of the rows that match, in their order: [{key, count, counts}]; none if their sizes are not known. */
function groupsOf(order, got, view, query) {
  const sum = (counts) => query.state ? counts[query.state] || 0 : Object.values(counts).reduce((n, each) => n + each, 0);
  let found = [];
  if (order === 'state') found = WORST.filter((state) => !query.state || state === query.state).map((state) => ({ key: state, count: got.counts?.[state] || 0 }));
  else if (order === 'operation' && !query.find && !query.cause && !query.begin) found = view.operations.filter((op) => !query.operation.length || query.operation.includes(op.id)).map((op) => ({ key: op.id, count: sum(op.counts), counts: op.counts, state: op.state }));
  found = found.filter((group) => group.count);
  return found.reduce((n, group) => n + group.count, 0) === got.matching ? found : [];
}
/** Where each group begins, among the matching steps and among the rows; a closed one has only its head. */
function layout(groups, closed, matching) {
  if (!groups.length) return { rows: matching, at: (i) => i, of: (index) => index };
  let step = 0, row = 0;
  const parts = groups.map((group) => {
    const part = { group, step, row, open: !closed.includes(group.key) };
    step += group.count;
    row += 1 + (part.open ? group.count : 0);
    return part;
  });
  const within = (key, n) => parts.findLast((part) => part[key] <= n);
  return { rows: row, at: (i) => { const part = within('row', i); return i === part.row ? part : part.step + i - part.row - 1; }, of: (index) => { const part = within('step', index); return part.open ? part.row + 1 + index - part.step : part.row; } };
}

export function Steps({ run, view, graph, when, tabs }) {
  const only = useQuery('only'), find = useQuery('f'), op = useQuery('op'), sel = useQuery('sel'), cause = useQuery('cause'), at = useQuery('at'), range = useQuery('range');
  const [closed, setClosed] = useState([]), [begin, end] = range.split('-'), order = useQuery('order') || (view.total > 40 ? 'state' : 'plan');
  const operations = graph?.nodes.find((node) => node.id === op)?.operations || (op ? [op] : []);
  const query = { state: only, find, operation: operations, cause, at, begin, end, order: ['state', 'worst'].includes(order) ? 'worst' : 'plan' };
  const got = usePages(run, query, when), groups = groupsOf(order, got, view, query), lay = layout(groups, closed, got.matching);
  const index = sel ? got.index(sel) : -1, count = got.matching;
  useStepKeys({ run, got, sel, index, order, view });
  const turn = (key) => setClosed(closed.includes(key) ? closed.filter((each) => each !== key) : [...closed, key]);
  const words = only || find || op || cause || range ? `${num(got.counted)} of ${num(got.total)}` : many(got.total || view.total, 'step');
  return html`<div class="ph">${tabs}<h2 class="own">Steps</h2><input class="in" type="search" data-find placeholder="Find a step, server, cause" aria-label="Find in steps" value=${find} onInput=${(e) => put({ f: e.target.value })} />
      ${op ? html`<button class="chip el" aria-pressed="true" title="Show all operations" onClick=${() => put({ op: '' })}>only ${op} ×</button>` : ''}${cause ? html`<button class="chip" aria-pressed="true" title="Show all causes" onClick=${() => put({ cause: '' })}>${cause} ×</button>` : ''}${range ? html`<button class="chip" aria-pressed="true" title="Show the whole time" onClick=${() => put({ range: '' })}>part of the time ×</button>` : ''}
      <span class="grow" /><select class="in opt" aria-label="Order" value=${order} onChange=${(e) => put({ order: e.target.value })}>${ORDERS.map(([key, word]) => html`<option value=${key}>${word}</option>`)}</select><span class="q t2 nw" role="status">${words}</span></div>
    <div class="sh" aria-hidden="true"><span>State</span><span>Step</span><span>Says</span><span class="n">Took</span><span class="n">Tries</span></div>
    ${got.error ? html`<${Refused} error=${got.error} />` : count === 0 && got.key ? html`<div class="empty"><p>No step is like that.</p><p class="q">${many(got.total, 'step')}${find ? `, none with “${find}”` : ''}${only ? `, none ${STATES[only]?.[0] || only}` : ''}.</p><button class="btn" onClick=${() => put(NONE)}>Show all steps</button>${got.suggestion ? html`<button class="btn bare" onClick=${() => put({ f: got.suggestion })}>Did you mean ${got.suggestion}?</button>` : ''}</div>`
    : html`<${VirtualList} className="steps" count=${lay.rows} height=${28} label="Steps" selected=${index < 0 ? -1 : lay.of(index)} draw=${(i, style) => {
      const what = lay.at(i);
      if (what.group) return html`<${GroupRow} ...${what} i=${i} style=${style} turn=${turn} key=${`group ${what.group.key}`} />`;
      const step = got.row(what);
      if (!step) return html`<div class="vr" role="row" aria-rowindex=${i + 1} key=${i} style=${style}><span role="gridcell" class="f">…</span></div>`;
      return html`<div class=${'vr' + (step.step === sel ? ' sel' : '')} role="row" aria-rowindex=${i + 1} aria-selected=${String(step.step === sel)} key=${i} style=${style}
        onClick=${() => put({ sel: step.step, p: innerWidth < 1200 ? 'd' : 's' })} onDblClick=${() => go(href(`ui/runs/${run}/steps/${step.step}`))}>
        <span role="gridcell"><${State} of=${step.state} /></span><span role="gridcell" class="el" aria-label=${step.step}><${Name} of=${step.step} /></span>
        <span role="gridcell" class="q el w6" title=${says(step)}>${says(step)}</span><span role="gridcell" class="n">${took(step, got.time)}</span><span role="gridcell" class="n q w6">${step.attempt > 1 ? step.attempt : ''}</span></div>`;
    }} />`}`;
}
function GroupRow({ group, open, i, style, turn }) {
  const state = group.state || group.key;
  return html`<div class="vr hd" role="row" aria-rowindex=${i + 1} style=${style} onClick=${() => turn(group.key)}><span role="gridcell" class="el"><button class=${'btn bare name' + (open ? ' open' : '')} aria-expanded=${String(open)}><span class="caret" aria-hidden="true">▶</span>
    ${group.counts ? html`<${State} of=${state} word=${group.key} />` : html`<${State} of=${state} />`}</button></span><span role="gridcell">${group.counts ? html`<${Strip} counts=${group.counts} small />` : ''}</span><span role="gridcell" class="n">${num(group.count)}</span></div>`;
}
const says = (step) => step.state === 'succeeded' ? (step.attempt > 1 ? `worked at attempt ${step.attempt}` : step.address || '') : step.said || step.message || (step.doing === step.state ? '' : step.doing) || '';

/** j k move, f F go to failures, Enter opens, Esc goes back, w l h choose what is told, c copies, g groups. */
function useStepKeys({ run, got, sel, index, order, view }) {
  const bad = () => got.loaded().filter((one) => ['failed', 'undo_failed'].includes(one.state)), pick = (step) => { if (step) put({ sel: step.step }); };
  const failure = (by) => {
    const all = bad(), b = all.findIndex((one) => one.step === sel);
    if (all.length) pick(all[(b < 0 && by < 0 ? 0 : b + by + all.length) % all.length]);
    else if (view.counts.failed || view.counts.undo_failed) put({ only: view.counts.failed ? 'failed' : 'undo_failed' });
    else notice.set({ title: 'No step has failed.', text: '' });
  };
  useKeys({
    j: () => pick(got.row(Math.min(got.matching - 1, index + 1))), k: () => pick(got.row(Math.max(0, index - 1))), f: () => failure(1), F: () => failure(-1),
    Escape: () => put(sel ? { sel: '', p: 's' } : NONE), w: () => put({ tab: '', p: 'd' }), l: () => put({ tab: 'log', p: 'd' }), h: () => put({ tab: 'hist', p: 'd' }),
    c: () => { navigator.clipboard?.writeText(`batchwright ${sel ? `explain ${run} ${sel}` : `status ${run}`}`); }, g: () => put({ order: { state: 'operation', operation: 'plan' }[order] || 'state' }),
    Enter: (event) => sel && !['BUTTON', 'A', 'CANVAS'].includes(event.target.tagName) ? go(href(`ui/runs/${run}/steps/${sel}`)) : false,
  });
}
