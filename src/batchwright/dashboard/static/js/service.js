// The service itself: health, stores, providers in use, what stands still, what all runs add up to, who may do what.
import { html } from '../vendor/htm-preact.js';
import { RUNS, useGet } from './net.js';
import { Copy, Facts, Loading, Mark, Numbers, Section, Table, Time } from './parts.js';
import { runLink } from './home.js';
import { href, useQuery } from './store.js';
import { useTitle } from './title.js';
import { dur, num } from './words.js';

const Well = ({ ok, bad }) => ok ? html`<${Mark} shape="check" colour="done">well<//>` : html`<${Mark} shape="cross" colour="bad">${bad || 'no answer'}<//>`;
const ms = (seconds) => `${num(Math.round(seconds * 1000))} ms`;

export function Service() {
  const got = useGet('health', { every: 3 }), it = got.data, all = useGet(`${RUNS}/stats`, { every: 15 });
  useTitle('Service', it ? (it.status === 'ok' ? 'Completed' : 'Degraded') : null);
  return html`<main class="page fades" id="main"><${Loading} got=${got}>${it ? html`<header><div class="row wrap"><h1>Service</h1>${it.status === 'ok' ? html`<${Mark} shape="check" colour="done">well<//>` : html`<${Mark} shape="warn" colour="retry">${it.status}<//>`}<span class="q">Batchwright ${it.version} · up ${dur(it.uptime)}</span></div></header>
    <${Numbers} items=${[[num(it.driven), 'runs driven'], [num(it.undriven), 'unfinished, not driven', it.undriven ? 'bad' : ''], [num(it.readers), 'watch live'], [ms(it.event_loop_lag_seconds), 'behind, at worst', it.event_loop_lag_seconds > 1 ? 'bad' : ''], all.data && [num(all.data.runs), 'runs in all']]} />
    ${it.still.length ? html`<${Section} title="Stands still" about=${it.still.length}><ul class="att box">${it.still.map((one) => html`<li><${Mark} shape="warn" colour="bad">${dur(one.seconds)}<//><span class="b">${one.workflow}</span><span class="msg el">${one.reason}</span><span class="go">${runLink(one.run)}</span></li>`)}</ul><//>` : ''}
    <div class="two"><div class="sec big-gap">
      <${Section} title="Stores" about="where journals live"><${Table} label="Stores" heads=${[['Store', 'nw'], ['State', 'nw'], ['A look took', 'n nw'], ['Says', '']]} rows=${it.stores.map((one) => [html`<b>${one.name}</b>`, html`<${Well} ok=${one.ok} />`, ms(one.latency_seconds), one.message])} /><//>
      <${Section} title="Providers in use" about="by a run, now"><${Table} label="Providers" heads=${[['Provider', 'nw'], ['Account', 'nw'], ['State', 'nw'], ['Answered in', 'n nw'], ['Asked', 'nw hide-s'], ['Quota', '']]} empty=${html`<p class="q">No run uses one now.</p>`}
        rows=${it.providers.map((one) => [html`<b>${one.name}</b>`, one.account, html`<${Well} ok=${one.ok} bad=${one.message} />`, ms(one.latency_seconds), html`<${Time} at=${one.at} />`, Object.entries(one.quota).map(([what, [used, most]]) => `${num(used)} of ${num(most)} ${what}`).join(', ')])} /><//>
      ${all.data ? html`<${Totals} stats=${all.data} />` : ''}<${Catalogue} /></div>
    <div class="sec"><div class="box"><h2>Who may do what</h2><${Facts} items=${[['tokens', it.access.tokens < 0 ? 'cannot be read' : num(it.access.tokens)], ['without one', it.access.without_token], ['commands', it.access.commands], ['secrets', it.access.secrets], ['evaluation confined', it.access.confined]]} /></div>
      <div class="box"><h2>On the shell</h2><${Copy} text="batchwright stats" /><${Copy} text="batchwright token list" /></div>
      <p class="q"><a href=${href('')}>Runs</a> · <a href=${new URL('docs', href('')).href} target="_blank" rel="noopener">the API</a></p></div></div>` : ''}<//></main>`;
}

function Totals({ stats }) {
  const rows = stats.providers.map((one) => [html`<b>${one.name}</b>`, ...['steps', 'succeeded', 'failed', 'retries', 'throttles'].map((key) => num(one[key] || 0))]);
  return html`<${Section} title="All runs, by provider"><${Table} label="All runs, by provider" heads=${[['Provider', 'nw'], ['Steps', 'n'], ['Done', 'n'], ['Failed', 'n'], ['Retries', 'n hide-s'], ['Throttled', 'n hide-s']]} rows=${rows} empty=${html`<p class="q">No steps yet.</p>`} /><//>`;
}

function Catalogue() {
  const got = useGet('v1/taskservs'), find = useQuery('find').toLowerCase();
  const rows = (got.data?.taskservs || []).filter((one) => one.name.includes(find)).map((one) => [html`<b>${one.name}</b>`, one.version || '', one.summary || one.description || '', (one.requires || []).join(', ')]);
  return html`<${Section} title="Task services" about="that can be installed"><${Table} label="Task services" heads=${[['Name', 'nw'], ['Version', 'nw'], ['What it is', ''], ['Needs', 'nw hide-s']]} rows=${rows} empty=${html`<p class="q">None.</p>`} /><//>`;
}
