// The table of steps: filters, groups of failures, only the rows that are seen. It is the accessible twin of the drawings.
import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { again, ask, one } from './net.js';
import { Refused, State, VirtualList } from './parts.js';
import { go, href, live, put, useQuery } from './store.js';
import { STATES, dur, many, num } from './words.js';

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
      set({ matching: data.matching, total: data.total, time: data.time, suggestion: data.suggestion, error: null, key });
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
  return { ...state, row, loaded: () => Object.values(pages.current).flat() };
}

const NONE = { only: '', f: '', op: '', cause: '', range: '' };
const took = (step, time) => step.started_at && !['skipped', 'waiting', 'not_wanted'].includes(step.state) ? dur((step.ended_at || time) - step.started_at) : '';

export function Steps({ run, view, graph, when, tabs }) {
  const only = useQuery('only'), find = useQuery('f'), op = useQuery('op'), sel = useQuery('sel'), cause = useQuery('cause'), at = useQuery('at'), range = useQuery('range');
  const [begin, end] = range.split('-'), order = useQuery('order') || (view.total > 40 ? 'worst' : 'plan');
  const query = { state: only, find, operation: graph?.nodes.find((node) => node.id === op)?.operations || op, cause, at, begin, end, order };
  const got = usePages(run, query, when), row = got.row;
  const place = useRef(-1);
  useKeys({ run, got, sel });
  const index = sel ? got.loaded().findIndex((one) => one.step === sel) : -1;
  useEffect(() => { place.current = index; }, [index]);
  const count = got.matching;
  const words = only || find || op || cause || range ? `${num(count)} of ${num(got.total)}` : many(got.total || view.total, 'step');
  return html`<div class="ph">${tabs}<h2 class="own">Steps</h2><input class="in" type="search" data-find placeholder="Find a step, server, cause" aria-label="Find in steps" value=${find} onInput=${(e) => put({ f: e.target.value })} />
      ${op ? html`<button class="chip" aria-pressed="true" title="Show all operations" onClick=${() => put({ op: '' })}>only ${op} ×</button>` : ''}${cause ? html`<button class="chip" aria-pressed="true" title="Show all causes" onClick=${() => put({ cause: '' })}>${cause} ×</button>` : ''}${range ? html`<button class="chip" aria-pressed="true" title="Show the whole time" onClick=${() => put({ range: '' })}>part of the time ×</button>` : ''}
      <span class="grow" /><select class="in opt" aria-label="Order" value=${order} onChange=${(e) => put({ order: e.target.value })}><option value="worst">worst first</option><option value="plan">as planned</option></select><span class="q t2 nw" role="status">${words}</span></div>
    <div class="sh" aria-hidden="true"><span>State</span><span>Step</span><span>Says</span><span class="n">Took</span><span class="n">Tries</span></div>
    ${got.error ? html`<${Refused} error=${got.error} />` : count === 0 && got.key ? html`<div class="empty"><p>No step is like that.</p><p class="q">${many(got.total, 'step')}${find ? `, none with “${find}”` : ''}${only ? `, none ${STATES[only]?.[0] || only}` : ''}.</p><button class="btn" onClick=${() => put(NONE)}>Show all steps</button>${got.suggestion ? html`<button class="btn bare" onClick=${() => put({ f: got.suggestion })}>Did you mean ${got.suggestion}?</button>` : ''}</div>`
    : html`<${VirtualList} className="steps" count=${count} height=${28} label="Steps" selected=${index} draw=${(i, style) => {
      const step = row(i);
      if (!step) return html`<div class="vr" role="row" aria-rowindex=${i + 1} key=${i} style=${style}><span role="gridcell" class="f">…</span></div>`;
      return html`<div class=${'vr' + (step.step === sel ? ' sel' : '')} role="row" aria-rowindex=${i + 1} aria-selected=${String(step.step === sel)} key=${i} style=${style}
        onClick=${() => put({ sel: step.step, p: innerWidth < 1200 ? 'd' : 's' })} onDblClick=${() => go(href(`ui/runs/${run}/steps/${step.step}`))}>
        <span role="gridcell"><${State} of=${step.state} /></span><span role="gridcell" class="el" title=${step.step}>${step.step}</span>
        <span role="gridcell" class="q el w6" title=${says(step)}>${says(step)}</span><span role="gridcell" class="n">${took(step, got.time)}</span><span role="gridcell" class="n q w6">${step.attempt > 1 ? step.attempt : ''}</span></div>`;
    }} />`}`;
}
const says = (step) => step.state === 'succeeded' ? (step.attempt > 1 ? `worked at attempt ${step.attempt}` : step.address || '') : step.said || step.message || (step.doing === step.state ? '' : step.doing) || '';

/** j k move, f F go to failures, Enter opens, Esc goes back, w l h choose what is told, c copies. */
function useKeys({ run, got, sel }) {
  const now = useRef();
  now.current = { run, got, sel };
  useEffect(() => {
    const keys = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]') || /INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) return;
      const { run: id, got: pages, sel: at } = now.current, all = pages.loaded(), i = all.findIndex((one) => one.step === at);
      const bad = all.filter((one) => ['failed', 'undo_failed'].includes(one.state)), pick = (step) => step && put({ sel: step.step });
      const b = bad.findIndex((one) => one.step === at);
      const does = {
        j: () => pick(all[Math.min(all.length - 1, i + 1)]), k: () => pick(all[Math.max(0, i - 1)]),
        f: () => (bad.length ? pick(bad[(b + 1) % bad.length]) : put({ only: 'failed' })), F: () => pick(bad[(b - 1 + bad.length) % bad.length]),
        Escape: () => put(at ? { sel: '', p: 's' } : NONE), w: () => put({ tab: '' }), l: () => put({ tab: 'log' }), h: () => put({ tab: 'hist' }),
        c: () => navigator.clipboard?.writeText(`batchwright ${at ? `explain ${id} ${at}` : `status ${id}`}`),
        Enter: () => at && !['BUTTON', 'A'].includes(event.target.tagName) && go(href(`ui/runs/${id}/steps/${at}`)),
      }[event.key];
      if (does) { does(); if (event.key !== 'Enter') event.preventDefault(); }
    };
    addEventListener('keydown', keys);
    return () => removeEventListener('keydown', keys);
  }, []);
}
