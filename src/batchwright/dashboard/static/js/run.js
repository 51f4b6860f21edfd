// The screen of a run: what it says, what needs somebody, its operations, its steps and why. One selection, in the URL.
import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { Detail } from './detail.js';
import { Graph } from './graph.js';
import { Later } from './modules.js';
import { Steps } from './steps.js';
import { Timeline } from './timeline.js';
import { Actions } from './actions.js';
import { one, useChanges, useGet } from './net.js';
import { Icon, Loading, State, Strip, Time } from './parts.js';
import { href, put, useKeys, useQuery, useTimeMode } from './store.js';
import { useTitle } from './title.js';
import { BACK, ENDED, STATES, WORST, dur, many, num, stateOf } from './words.js';

const NODES = 60, ALL = 400; // boxes of the graph that can be read; those that can be drawn

export function RunScreen({ run: word }) {
  const found = useGet(one(word));
  const run = found.data?.run || '';
  if (!found.data) return html`<main class="page" id="main"><h1 class="sr">Run ${word}</h1><${Loading} got=${found} /></main>`;
  return html`<${Followed} run=${run} first=${found} key=${run} />`;
}

function Followed({ run, first }) {
  const known = useRef(first.data), ended = ENDED.includes(known.current.status);
  const changes = useChanges(run, ended, first.data.total);
  const at = useQuery('at'), got = useGet(one(run), { when: changes, first }), graph = useGet(`${one(run)}/graph`, { query: { most: NODES } }), ops = useGet(`${one(run)}/operations`, { query: { at }, when: at ? 0 : changes });
  known.current = got.data || known.current;
  const newest = Number(got.etag?.replaceAll('"', '').split('-').pop()) || 0;
  const view = ops.data ? { ...known.current, operations: ops.data.items, counts: ops.data.counts, ...(at || ops.data.seq >= newest ? sums(ops.data) : {}), ...(at ? then(ops.data) : {}) } : known.current, shown = ops.data?.seq === Number(at);
  const state = stateOf(view);
  useMoments(at, newest);
  useTitle(`${view.environment} ${num(view.done)}/${num(view.total)}`, state);
  useEffect(() => { document.body.classList.add('runpage'); return () => document.body.classList.remove('runpage'); }, []);
  const pane = useQuery('p') || 's', whole = usePanes(pane), top = useQuery('top') || 'g', rows = graph.data?.rows || 1, share = view.total <= 40 ? 0.78 : rows < 5 ? 0.7 : rows < 9 ? 0.84 : 0.96;
  return html`<div class="fades"><${Head} view=${view} state=${state} /></div><${Attention} view=${view} when=${changes} />
    ${at ? html`<div class="banner" role="status"><${Icon} shape="bars" /><span>${shown ? html`<b>You look at event ${num(at)} of ${num(newest)}, <${Time} at=${ops.data.time} />.</b> Nothing can be changed from here.` : ops.error ? ops.error.message : `Looking up event ${num(at)}…`}</span><button class="btn" onClick=${() => put({ at: '' })}>Back to now</button></div>` : ''}
    <main class="panes fades" id="main" data-one=${pane} data-top=${top} data-low=${pane === 'd' ? 'd' : 's'} data-whole=${whole || undefined} style=${{ '--g': `${share}fr`, '--m': `${1.12 - share}fr` }}>
      <section class="pane p-g top" aria-label="Operations"><${Plan} run=${run} graph=${graph} view=${view} /></section>
      <section class="pane p-t top" aria-label="Timeline"><${Timeline} run=${run} view=${view} when=${changes} tabs=${html`<${Tabs} here="t" />`} /></section>
      <section class="pane p-s low" aria-label="Steps"><${Steps} run=${run} view=${view} graph=${graph.data} when=${changes} tabs=${html`<${Tabs} here="s" />`} /></section>
      <section class="pane p-d low" aria-label="Detail"><${Detail} run=${run} view=${view} when=${changes} newest=${newest} tabs=${html`<${Tabs} here="d" />`} /></section>
    </main>`;
}

const TOP = [['g', 'Graph'], ['t', 'Timeline']], LOW = [['s', 'Steps'], ['d', 'Detail']];
/** On a narrow screen, which of the panes that share a place is shown. */
export const Tabs = ({ here }) => html`${[[TOP, 'pa'], [LOW, 'pb']].map(([list, kind]) => html`<div class=${'pt ' + kind} role="group" aria-label="Show">${list.map(([key, word]) => html`<button class="tab" aria-pressed=${String(key === here)} onClick=${() => put({ p: key, ...(kind === 'pa' ? { top: key } : {}) })}>${word}</button>`)}</div>`)}`;

/** The operations: as a graph, or as the list that says the same. Those of a large plan are drawn in groups, unless each is wanted. */
function Plan({ run, graph, view }) {
  const kind = useQuery('ops'), list = kind === 'list', inner = useQuery('in'), open = useQuery('open'), [zoom, setZoom] = useState(1), [turn, setTurn] = useState(0);
  const grouped = view.operations.length > NODES, other = useGet(grouped && (inner || kind === 'all') ? `${one(run)}/graph` : '', { query: inner ? { group: inner, most: NODES } : { most: ALL } });
  const drawn = grouped && (inner || kind === 'all') ? other.data : graph.data;
  const nearer = (by) => () => setZoom((was) => Math.min(6, Math.max(0.25, was * by))), whole = () => { setZoom(1); setTurn(turn + 1); };
  useKeys({ '+': nearer(1.25), '=': nearer(1.25), '-': nearer(0.8), 0: whole, Escape: () => open || inner ? put(open ? { open: '' } : { in: '' }) : false });
  const told = open ? '' : inner ? `in ${inner}` : `${many(view.operations.length, 'operation')}, ${many(view.total, 'step')}`;
  return html`<div class="ph"><${Tabs} here="g" /><h2 class="own">${list ? 'Operations' : 'Graph'}</h2>${open ? html`<button class="chip el" aria-pressed="true" title="Back to the graph" onClick=${() => put({ open: '' })}>steps of ${open} ×</button>` : inner ? html`<button class="chip el" aria-pressed="true" title="Back to the whole graph" onClick=${() => put({ in: '' })}>in ${inner} ×</button>` : html`<span class="q t2 el grow lab">${told}</span>`}<span class="grow" />
      ${list || open ? '' : html`<button class="btn bare icb" aria-label="Farther" title="Farther (-)" onClick=${nearer(0.8)}>−</button><button class="btn bare icb" aria-label="Nearer" title="Nearer (+)" onClick=${nearer(1.25)}>+</button><button class="btn bare opt" title="The whole graph (0)" onClick=${whole}>Fit</button>`}
      ${grouped && !list && !open && !inner ? html`<button class="btn bare" aria-pressed=${String(kind === 'all')} onClick=${() => put({ ops: kind === 'all' ? '' : 'all' })}>Every operation</button>` : ''}
      <button class="btn bare" onClick=${() => put({ ops: list ? '' : 'list', open: '' })}>${list ? 'As a graph' : 'As a list'}</button></div>
    ${list || (drawn && !drawn.nodes.length) ? html`<${Later} module="operations" name="Operations" props=${{ view }} />` : open ? html`<${Later} module="waffle" name="Waffle" props=${{ run, operation: open, view }} />` : drawn ? html`<${Graph} graph=${drawn} view=${view} zoom=${zoom} key=${`${turn} ${inner} ${kind}`} />` : ''}`;
}

const sums = (ops) => ({ done: ops.items.reduce((n, each) => n + each.done, 0), total: ops.items.reduce((n, each) => n + each.total, 0) });
/** What is known of an earlier moment: the counts are of then, and nothing can be done. */
const then = (ops) => ({ status: ops.status, eta: null, elapsed: null, past: true, driven: true, running: [], running_more: 0, waiting: [], failed: [], doubts: [], residue: [], stopped_providers: {}, skipped: [], not_wanted: [], next: '' });

/** , . look one event back and on, < > a hundredth of the run; n goes back to now. */
function useMoments(at, newest) {
  const here = Number(at) || newest, far = Math.max(1, Math.round(newest / 100));
  const look = (seq) => () => put({ at: seq >= newest ? '' : Math.max(1, seq) });
  useKeys({ ',': look(here - 1), '.': look(here + 1), '<': look(here - far), '>': look(here + far), n: () => put({ at: '' }) });
}

const PANES = { 1: 'g', 2: 't', 3: 's', 4: 'd' };
/** 1 2 3 4 go to a pane, m shows one over all; gives the pane that is over all. */
function usePanes(pane) {
  const whole = useQuery('whole') ? pane : '';
  const to = (key) => () => {
    put({ p: PANES[key], ...(key < 3 ? { top: PANES[key] } : {}) });
    setTimeout(() => document.querySelector(`.p-${PANES[key]} :is(canvas,.vt,.why)`)?.focus());
  };
  useKeys({ 1: to('1'), 2: to('2'), 3: to('3'), 4: to('4'), m: () => put({ whole: whole ? '' : 1 }), Escape: () => whole ? put({ whole: '' }) : false }, true);
  return whole;
}

/** The one sentence that could be read out on the phone. */
function sentence(view) {
  const said = [BACK.includes(view.status) ? `${num(view.done)} of ${num(view.total)} undone` : `${num(view.done)} of ${many(view.total, 'step')} done`];
  if (view.status === 'RollingBack' && view.rolled_back_by) said.push(`asked for by ${view.rolled_back_by}`);
  if (view.past) return said.join(' · ');
  if (view.counts.asking && !view.running.length) said.push('nothing in flight: it waits for a person');
  else if (view.started_at) said.push(ENDED.includes(view.status) ? `took ${dur(view.elapsed)}` : `${dur(view.elapsed)} so far`);
  if (view.eta >= 1 && !ENDED.includes(view.status)) said.push(`about ${dur(view.eta)} left`);
  return said.join(' · ');
}

function Head({ view, state }) {
  const only = useQuery('only');
  useTimeMode();
  return html`<section class="rh" aria-label="The run"><div class="row wrap"><${State} of=${state} big /><h1 class="el"><a href=${href(`ui/environments/${view.environment}`, { simulated: view.simulated ? 'true' : '' })}>${view.environment}</a></h1>
      <span class="q el grow" id="sentence">${sentence(view)}</span><${Actions} view=${view} /></div>
    <${Strip} counts=${view.counts} />
    <div class="row wrap facts-row"><div class="legend" role="group" aria-label="Show only steps that are">${WORST.filter((s) => view.counts[s]).map((s) => html`<button class="chip" aria-pressed=${String(only === s)} onClick=${() => put({ only: only === s ? '' : s, p: 's' })}>
        <span class=${'st c-' + STATES[s][2]}><${Icon} shape=${STATES[s][1]} /></span><span><b>${num(view.counts[s])}</b> ${STATES[s][0]}</span></button>`)}</div><span class="grow" />
      <div class="facts"><span>run <b class="mono">${view.run}</b></span><span class="opt"><b>${view.workflow} ${view.version}</b></span>${view.simulated ? html`<span class="tag">simulated</span>` : ''}
        <span class="opt">began <b><${Time} at=${view.created_at} /></b></span><span class="opt">${view.parallel_limit} at a time</span>${view.restarts ? html`<span>killed or restarted ${view.restarts === 1 ? 'once' : view.restarts + ' times'}</span>` : ''}</div></div></section>`;
}

/** What needs somebody: questions, failures by cause, providers that stopped, doubts. */
function Attention({ view, when }) {
  const asks = useGet(view.counts.asking && !view.past ? 'v1/approvals' : '', { query: { run: view.run }, when });
  const at = useQuery('at'), failures = useGet(view.counts.failed || view.counts.undo_failed ? `${one(view.run)}/failures` : '', { query: { at }, when: at ? 0 : when });
  const rows = [];
  for (const question of asks.data?.items || []) rows.push(html`<li class="asking" key=${question.step}><${Later} module="question" name="Question" props=${{ question }} /></li>`);
  const causes = failures.data?.items || [], all = useQuery('causes') === 'all';
  for (const cause of all ? causes : causes.slice(0, 3)) {
    rows.push(html`<li key=${cause.state + cause.kind + cause.code + cause.provider + cause.place}><span class="c-bad"><${Icon} shape=${cause.state === 'undo_failed' ? 'boxback' : 'cross'} /></span><span class="b c-bad">${num(cause.count)} × ${cause.kind}${cause.place ? ` in ${cause.place}` : ''}</span>
      <span class="msg el" title=${cause.message}>${cause.message} <span class="f hide-s">${cause.hint}</span></span><button class="btn bare go" onClick=${() => put({ only: cause.state, cause: cause.kind, sel: cause.steps[0], p: 's' })}>Show</button></li>`);
  }
  if (causes.length > 3) rows.push(html`<li><span /><span /><span class="msg q">${all ? '' : `${many(causes.length - 3, 'more cause')}`}</span><button class="btn bare go" onClick=${() => put({ causes: all ? '' : 'all' })}>${all ? 'Show the first three' : 'Show all'}</button></li>`);
  for (const [lane, message] of Object.entries(view.stopped_providers)) rows.push(html`<li><span class="c-bad"><${Icon} shape="stop" /></span><span class="b c-bad">${lane} stopped</span><span class="msg el" title=${message}>${message}</span></li>`);
  if (view.doubts.length) rows.push(html`<li><span class="c-doubt"><${Icon} shape="half" /></span><span class="b c-doubt">${view.doubts.length + view.doubts_more} in doubt</span><span class="msg el">A call was sent and its answer was lost. Batchwright asks the provider what came of it.</span><button class="btn bare go" onClick=${() => put({ sel: view.doubts[0], p: 'd' })}>Show</button></li>`);
  if (view.residue.length) rows.push(html`<li><span class="c-bad"><${Icon} shape="warn" /></span><span class="b c-bad">left behind</span><span class="msg el" title=${view.residue.join('; ')}>${view.residue.join('; ')}</span></li>`);
  return rows.length ? html`<section aria-label="What needs somebody"><ul class="att fades">${rows}</ul></section>` : null;
}
