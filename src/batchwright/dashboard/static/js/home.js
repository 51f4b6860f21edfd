// Runs and environments: what needs a person first.
import { html } from '../vendor/htm-preact.js';
import { RUNS, useGet } from './net.js';
import { Copy, Loading, Section, State, Strip, Table, Time } from './parts.js';
import { href, put, useQuery } from './store.js';
import { useTitle } from './title.js';
import { ENDED, dur, many, now, num, stateOf } from './words.js';

const EVERY = 3; // seconds between two looks
const CHIPS = [['', 'All'], ['asks', 'Asks'], ['running', 'Running'], ['failed', 'Failed'], ['ended', 'Ended']];
const KINDS = { asks: (one) => one.asks > 0, running: (one) => !ENDED.includes(one.status), failed: (one) => ['Failed', 'RollbackIncomplete'].includes(one.status), ended: (one) => ENDED.includes(one.status) };

export const runLink = (run, text) => html`<a class="mono" href=${href(`ui/runs/${run}`)}>${text || run}</a>`;
const countsOf = (row) => {
  const rest = row.steps - row.succeeded - row.failed - row.skipped - row.undone - (row.asks || 0);
  return { succeeded: row.succeeded, failed: row.failed, skipped: row.skipped, undone: row.undone, asking: row.asks, waiting: Math.max(0, rest) };
};
const counted = (n) => n == null ? '?' : num(n);
const environmentLink = (one) => html`<a class="b" href=${href(`ui/environments/${one.name}`, { simulated: one.simulated ? 'true' : '' })}>${one.name}</a>${one.simulated ? html` <span class="tag">simulated</span>` : ''}`;

export function Home() {
  const runs = useGet(RUNS, { every: EVERY, query: { limit: 200 } }), envs = useGet('v1/environments', { every: EVERY * 2 });
  const rows = runs.data?.items || [], urgent = needs(rows, envs.data?.items || []);
  useTitle(urgent.length ? `${urgent.length} need a person` : 'Runs', urgent.some((one) => one.state === 'Asks') ? 'Asks' : urgent.length ? 'Failed' : null);
  return html`<main class="page fades" id="main"><h1 class="sr">Runs and environments</h1><${Loading} got=${runs}>
    ${rows.length ? html`<${Urgent} items=${urgent} />` : html`<${Empty} />`}
    ${envs.data?.items.length ? html`<${Environments} items=${envs.data.items} rows=${rows} />` : ''}
    ${rows.length ? html`<${Runs} rows=${rows} more=${runs.data.next_cursor} /><${Section} title="On the shell"><${Copy} text="batchwright environments" /><${Copy} text="batchwright list" /><//>` : ''}<//></main>`;
}

/** What needs a person: questions, runs that nobody drives, environments whose newest run failed. */
function needs(rows, environments) {
  const newest = new Set(environments.map((one) => one.run));
  const found = [];
  for (const row of rows) {
    const state = stateOf(row);
    if (state === 'Asks') found.push({ row, state, say: html`asks ${many(row.asks, 'question')}`, hint: row.wakes_at ? html`until <${Time} at=${row.wakes_at} />` : '', go: 'Answer' });
    else if (state === 'Undriven') found.push({ row, state, say: html`since <${Time} at=${row.updated_at} />: no process drives it.`, hint: 'The service takes it up when the lease ends; else continue it.', go: 'Look' });
    else if (newest.has(row.run) && ['Failed', 'RollbackIncomplete'].includes(row.status)) found.push({ row, state: row.status, say: html`at <${Time} at=${row.ended_at} />: ${many(row.failed, 'step')} failed${row.skipped ? `, ${row.skipped} skipped` : ''}.`, hint: row.rollback_due ? 'It rolls back by itself.' : 'Nothing is in flight.', go: 'Look' });
  }
  const order = ['Asks', 'Undriven', 'RollbackIncomplete', 'Failed'];
  return found.sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
}
function Urgent({ items }) {
  if (!items.length) return null;
  return html`<${Section} title="Needs a person" about=${items.length}><ul class="att box urgent">${items.slice(0, 12).map(({ row, state, say, hint, go }) => html`<li>
    <${State} of=${state} /><span class="msg el b">${row.environment}</span><span class="msg">${say} <span class="q hide-s">${hint}</span></span>
    <a class=${'btn go' + (state === 'Asks' ? ' asks' : ' bare')} href=${href(`ui/runs/${row.run}`)}>${go}</a></li>`)}</ul>${items.length > 12 ? html`<p class="q">and ${items.length - 12} more below</p>` : ''}<//>`;
}

function Environments({ items, rows }) {
  const find = useQuery('env').toLowerCase(), byRun = new Map(rows.map((row) => [row.run, row]));
  const shown = items.filter((one) => one.name.toLowerCase().includes(find)).sort((a, b) => b.since - a.since);
  const cells = shown.slice(0, 100).map((one) => {
    const row = byRun.get(one.run);
    return [environmentLink(one), html`<a href=${href(`ui/runs/${one.run}`)}><${State} of=${row ? stateOf(row) : one.status} /></a>`, row ? html`<${Strip} counts=${countsOf(row)} small />` : '',
      counted(one.servers), counted(one.taskservs), row?.by || '', html`<${Time} at=${one.since} />`, one.changing ? one.driver || (row && stateOf(row) === 'Asks' ? 'waits for a person' : 'nobody drives') : ''];
  });
  return html`<${Section} title="Environments" about="what lives on over its runs" tools=${items.length > 8 ? html`<input class="in" type="search" placeholder="Find an environment" aria-label="Find an environment" value=${find} onInput=${(e) => put({ env: e.target.value })} />` : ''}>
    <${Table} label="Environments" rows=${cells} heads=${[['Environment', 'nw'], ['Newest run', 'nw'], ['Steps', 'nw hide-s'], ['Servers', 'n hide-s'], ['Services', 'n hide-s'], ['Changed by', 'nw hide-s'], ['Since', 'n nw'], ['Driven by', 'nw hide-s']]}
      empty=${html`<p class="q">No environment is called like that.</p>`} /><//>`;
}

function Runs({ rows, more }) {
  const kind = useQuery('kind'), find = useQuery('find').toLowerCase();
  const shown = rows.filter((row) => (!kind || KINDS[kind]?.(row)) && [row.run, row.environment, row.by, row.workflow].some((word) => word.toLowerCase().includes(find)));
  const cells = shown.slice(0, 200).map((row) => [runLink(row.run), row.environment, html`<${State} of=${stateOf(row)} />`, html`<${Strip} counts=${countsOf(row)} small />`,
    row.by, html`<${Time} at=${row.created_at} />`, row.started_at ? dur((row.ended_at || now()) - row.started_at) : '']);
  return html`<${Section} title="Runs" about="newest first" tools=${html`<div class="row wrap" role="group" aria-label="Show only">${CHIPS.map(([key, word]) => html`<button class="chip" aria-pressed=${String(kind === key)} onClick=${() => put({ kind: key })}>${word}${key ? ' ' + rows.filter(KINDS[key]).length : ''}</button>`)}
      <input class="in" type="search" data-find placeholder="Find a run or person" aria-label="Find a run" value=${find} onInput=${(e) => put({ find: e.target.value })} /></div>`}>
    <${Table} label="Runs" rows=${cells} heads=${[['Run', 'nw'], ['Environment', 'nw'], ['State', 'nw'], ['Steps', 'nw hide-s'], ['By', 'nw hide-s'], ['Began', 'n nw'], ['Took', 'n nw hide-s']]}
      empty=${html`<p class="q">No run is like that. ${many(rows.length, 'run')} in all. <button class="btn bare" onClick=${() => put({ kind: null, find: null })}>Show all</button></p>`} />
    ${more ? html`<p class="q">Older runs: <code>batchwright list</code></p>` : ''}<//>`;
}

const Empty = () => html`<section class="empty"><h2>No runs yet</h2><p>A run is one change of your servers. Nothing real is made by this first one:</p>
  <${Copy} text="batchwright submit workflows/example_batch.ncl --simulate" /><p class="q">Or <a href=${href('ui/plan')}>paste a workflow</a> and look at its plan first.</p></section>`;
