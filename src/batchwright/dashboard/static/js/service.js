// The service itself: health, stores, providers; lanes and leases; tokens and the audit trail.
import { html, useState } from '../vendor/htm-preact.js';
import { RUNS, ask, useGet } from './net.js';
import { Copy, Facts, Loading, Mark, Numbers, Refused, Section, Table, Time } from './parts.js';
import { runLink } from './home.js';
import { environmentPath, href, may, put, session, useQuery } from './store.js';
import { useTitle } from './title.js';
import { dur, many, now, num } from './words.js';

const Well = ({ ok, bad }) => ok ? html`<${Mark} shape="check" colour="done">well<//>` : html`<${Mark} shape="cross" colour="bad">${bad || 'no answer'}<//>`;
const ms = (seconds) => `${num(Math.round(seconds * 1000))} ms`;
const PARTS = [['', 'Health', Health], ['lanes', 'Lanes and leases', Lanes], ['access', 'Tokens and audit', Access]];

export function Service() {
  const got = useGet('health', { every: 3 }), it = got.data, part = useQuery('part'), [, , Part] = PARTS.find(([key]) => key === part) || PARTS[0];
  useTitle('Service', it ? (it.status === 'ok' ? 'Completed' : 'Degraded') : null);
  return html`<main class="page fades" id="main"><header><div class="row wrap"><h1>Service</h1>${it ? html`${it.status === 'ok' ? html`<${Mark} shape="check" colour="done">well<//>` : html`<${Mark} shape="warn" colour="retry">${it.status}<//>`}<span class="q">Batchwright ${it.version} · up ${dur(it.uptime)}</span>` : ''}</div>
      <nav class="subs" aria-label="Parts of the service">${PARTS.map(([key, word]) => html`<a href=${href('ui/service', { part: key })} aria-current=${key === part ? 'page' : undefined}>${word}</a>`)}</nav></header>
    <${Loading} got=${got}>${it ? html`<${Part} it=${it} />` : ''}<//></main>`;
}

function Health({ it }) {
  const all = useGet(`${RUNS}/stats`, { every: 15 });
  return html`<${Numbers} items=${[[num(it.driven), 'runs driven'], [num(it.undriven), 'unfinished, not driven', it.undriven ? 'bad' : ''], [num(it.readers), 'watch live'], [ms(it.event_loop_lag_seconds), 'behind, at worst', it.event_loop_lag_seconds > 1 ? 'bad' : ''], all.data && [num(all.data.runs), 'runs in all']]} />
    ${it.still.length ? html`<${Section} title="Stands still" about=${it.still.length}><ul class="att box urgent">${it.still.map((one) => html`<li><${Mark} shape="warn" colour="bad">${dur(one.seconds)}<//><span class="b">${one.workflow}</span><span class="msg el">${one.reason}</span><span class="go">${runLink(one.run)}</span></li>`)}</ul><//>` : ''}
    <div class="two"><div class="sec big-gap">
      <${Section} title="Stores" about="where journals live"><${Table} label="Stores" heads=${[['Store', 'nw'], ['State', 'nw'], ['A look took', 'n nw'], ['Says', '']]} rows=${it.stores.map((one) => [html`<b>${one.name}</b>`, html`<${Well} ok=${one.ok} />`, ms(one.latency_seconds), one.message])} /><//>
      <${Section} title="Providers in use" about="by a run, now"><${Table} label="Providers" heads=${[['Provider', 'nw'], ['Account', 'nw'], ['State', 'nw'], ['Answered in', 'n nw'], ['Asked', 'nw hide-s'], ['Quota', '']]} empty=${html`<p class="q">No run uses one now.</p>`}
        rows=${it.providers.map((one) => [html`<b>${one.name}</b>`, one.account, html`<${Well} ok=${one.ok} bad=${one.message} />`, ms(one.latency_seconds), html`<${Time} at=${one.at} />`, Object.entries(one.quota).map(([what, [used, most]]) => `${num(used)} of ${num(most)} ${what}`).join(', ')])} /><//>
      ${all.data ? html`<${Totals} stats=${all.data} />` : ''}</div>
    <div class="sec"><div class="box"><h2>Who may do what</h2><${Facts} items=${[['tokens', it.access.tokens < 0 ? 'cannot be read' : num(it.access.tokens)], ['without one', it.access.without_token], ['commands', it.access.commands], ['secrets', it.access.secrets], ['evaluation confined', it.access.confined]]} /></div>
      <div class="box"><h2>On the shell</h2><${Copy} text="batchwright stats" /><p class="q">Reads every event of every store, and proves that none is missing or was changed:</p><${Copy} text="batchwright store check" /></div>
      <p class="q"><a href=${new URL('docs', href('')).href} target="_blank" rel="noopener">The API</a></p></div></div>`;
}

function Totals({ stats }) {
  const rows = stats.providers.map((one) => [html`<b>${one.name}</b>`, ...['steps', 'succeeded', 'failed', 'retries', 'throttles'].map((key) => num(one[key] || 0))]);
  return html`<${Section} title="All runs, by provider"><${Table} label="All runs, by provider" heads=${[['Provider', 'nw'], ['Steps', 'n'], ['Done', 'n'], ['Failed', 'n'], ['Retries', 'n hide-s'], ['Throttled', 'n hide-s']]} rows=${rows} empty=${html`<p class="q">No steps yet.</p>`} /><//>`;
}

/** How much of each account's limits is used, and who holds what. */
function Lanes() {
  const lanes = useGet('v1/lanes', { every: 2 }), leases = useGet('v1/leases', { every: 4 });
  return html`<${Section} title="Lanes" about="accounts, and what else limits calls: all runs share the places of a lane"><${Loading} got=${lanes}><${Table} label="Lanes" heads=${[['Lane', 'nw'], ['In flight', 'nw'], ['Waiting', 'n nw'], ['Creates', 'nw'], ['Destroys', 'nw'], ['Runs', '']]} empty=${html`<p class="q">No run is driven, so no lane is in use.</p>`}
      rows=${(lanes.data?.items || []).map((one) => [html`<b>${one.lane}</b>${one.simulated ? html` <span class="tag">simulated</span>` : ''}`, html`<${Meter} used=${one.in_flight} most=${one.places} />`, one.waiting ? num(one.waiting) : '', ...one.rates.map((rate) => html`<${Rate} rate=${rate} />`),
        html`<span>${one.runs.slice(0, 3).map((run, i) => html`${i ? ', ' : ''}${runLink(run)}`)}${one.runs.length + one.runs_more > 3 ? ` and ${num(one.runs.length + one.runs_more - 3)} more` : ''}</span>`])} /><//><${Copy} text="batchwright lanes" /><//>
    <${Section} title="Leases" about="who holds which run, and with it its environment"><${Loading} got=${leases}><${Table} label="Leases" heads=${[['Run', 'nw'], ['Environment', 'nw'], ['Held by', ''], ['Fence', 'n nw'], ['Next sign of life due', 'nw hide-s'], ['Turn', 'n nw'], ['Since', 'nw hide-s']]} empty=${html`<p class="q">No run has anything open, so nothing is held.</p>`}
      rows=${(leases.data?.items || []).map((one) => [html`${runLink(one.run)} <span class="q">${one.status}</span>`, html`<a href=${environmentPath((one.simulated ? 'simulated:' : '') + one.environment)}>${one.environment}</a>${one.simulated ? html` <span class="tag">simulated</span>` : ''}`, html`<${Holder} one=${one} />`, one.fence || '', one.until ? html`<${Time} at=${one.until} />` : '', one.turn || '', one.since ? html`<${Time} at=${one.since} />` : ''])} /><//>
      <p class="q">A fence grows with every holder: a write with an older one is refused, so a process that was replaced can harm nothing.</p><${Copy} text="batchwright leases" /><//>`;
}
function Meter({ used, most }) {
  return html`<span class="nw"><span class=${'meter' + (used >= most ? ' hot' : '')} aria-hidden="true"><i style=${{ width: `${most ? Math.min(100, (used / most) * 100) : 0}%` }} /></span>${num(used)} of ${num(most)}</span>`;
}
const perSecond = (rate) => rate < 10 ? String(Number(rate.toPrecision(2))) : num(Math.round(rate));
function Rate({ rate }) {
  if (rate.throttled_seconds) return html`<${Mark} shape="loop" colour="retry">throttled, again in ${dur(Math.ceil(rate.throttled_seconds))}<//>`;
  if (!rate.rate) return html`<span class="q">no known rate</span>`;
  const learned = rate.base_rate && rate.rate < rate.base_rate * 0.99;
  return html`<span class=${learned ? 'c-retry' : ''}>${perSecond(rate.rate)} a second${learned ? ` of ${perSecond(rate.base_rate)}` : ''}</span>`;
}
function Holder({ one }) {
  if (one.state === 'held') return one.holder;
  if (one.state === 'moved') return html`<span class="q">${one.holder}</span>`;
  if (one.state === 'free' && one.asks) return html`<${Mark} shape="bubble" colour="ask">nobody: it waits for people<//>`;
  return html`<${Mark} shape="nolink" colour="bad">${one.state === 'dead' ? `${one.holder}, which has ended` : 'nobody'}<//>`;
}

/** Who has which token, and who asked for which change: for admins. */
function Access() {
  if (!may('admin')) return html`<div class="box"><h2>Your role does not allow this</h2><p>Tokens and the audit trail are shown to admins; “${session.get()?.name}” is a ${session.get()?.role}.</p></div>`;
  return html`<${TokenTable} /><${Audit} />`;
}
function TokenTable() {
  const got = useGet('v1/tokens', { every: 15 }), all = useQuery('tokens') === 'all', items = got.data?.items || [], shown = items.filter((one) => all || !one.trouble), over = items.length - shown.length;
  return html`<${Section} title="Tokens" about="each lets one client use the service"><${Loading} got=${got}><${Table} label="Tokens" heads=${[['Name', 'nw'], ['Role', 'nw'], ['Valid', 'nw'], ['Created', 'nw hide-s'], ['Id', 'nw mono hide-s']]} empty=${html`<p class="q">There is none${over ? ' that is valid' : ''}. Without a token only the user of this machine is served.</p>`}
      rows=${shown.map((one) => [html`<b>${one.name}</b>`, one.role, html`<${Valid} one=${one} />`, html`<${Time} at=${one.created_at} />`, one.id])} />
      ${over || all ? html`<p><button class="btn bare" onClick=${() => put({ tokens: all ? '' : 'all' })}>${all ? 'Only valid ones' : `Show ${many(over, 'token')} that ${over === 1 ? 'is' : 'are'} over`}</button></p>` : ''}<//>
    <${Copy} text="batchwright token list" /><${Copy} text="batchwright token create --role viewer --name NAME" /><${Copy} text="batchwright token revoke NAME" /><//>`;
}
function Valid({ one }) {
  if (one.trouble) return html`<${Mark} shape="dash" colour="wait">${one.trouble}${one.revoked_at ? html` <${Time} at=${one.revoked_at} />` : ''}<//>`;
  if (!one.expires_at) return html`<${Mark} shape="check" colour="done">for ever<//>`;
  const left = one.expires_at - now();
  return html`<${Mark} shape=${left < 604800 ? 'warn' : 'check'} colour=${left < 604800 ? 'retry' : 'done'}>until <${Time} at=${one.expires_at} seconds=${false} />, ${dur(left)} left<//>`;
}

const LINES = 50;
/** The audit trail, newest first; older pages are added below. */
function Audit() {
  const find = useQuery('find'), first = useGet('v1/audit', { every: 5, query: { find, limit: LINES } }), [older, set] = useState({ key: '', items: [], before: null }), [error, setError] = useState(null);
  const mine = older.key === find ? older : { items: [], before: first.data?.before ?? null, fresh: true }, seen = new Set(), items = [...(first.data?.items || []), ...mine.items].filter((one) => { const key = `${one.at} ${one.what}`; return !seen.has(key) && seen.add(key); });
  const more = async () => {
    try {
      const { data } = await ask('v1/audit', { query: { find, limit: LINES, before: mine.before } });
      set({ key: find, items: [...mine.items, ...data.items], before: data.before });
      setError(null);
    } catch (refusal) { setError(refusal); }
  };
  return html`<${Section} title="Audit trail" about="every request to change something, the newest first" tools=${html`<input class="in" type="search" data-find placeholder="Find a caller, run, answer" aria-label="Find in the audit trail" value=${find} onInput=${(e) => put({ find: e.target.value })} />`}>
    <${Loading} got=${first}><${Table} label="Audit trail" heads=${[['When', 'nw'], ['Who', 'nw'], ['Asked for', ''], ['Run', 'nw'], ['Answer', 'nw'], ['From', 'nw hide-s']]} empty=${html`<p class="q">${find ? 'No line has that.' : 'Nobody has asked for a change yet.'}</p>`} rows=${items.map((one) => [html`<${Time} at=${one.at} />`, html`<b>${one.who}</b> <span class="q">${one.role}</span>`, html`<span class="brk">${asked(one.what)}${one.query ? html` <span class="q">${decoded(one.query)}</span>` : ''}</span>`, one.run ? runLink(one.run) : '', html`<${Answered} one=${one} />`, one.address])} />
    ${mine.before != null ? html`<p><button class="btn" onClick=${more}>Older</button></p>` : ''}<${Refused} error=${error} />${first.data?.unreadable ? html`<p class="q">${many(first.data.unreadable, 'line')} could not be read.</p>` : ''}<//>
    <${Copy} text=${`batchwright audit${find ? ` --find '${find.replaceAll("'", `'\\''`)}'` : ''}`} /><//>`;
}
/** `POST /v1/workflows/batch/RUN/pause` is said as `pause`. */
const SESSIONS = { 'POST /session': 'sign in', 'DELETE /session': 'sign out', 'POST /session/code': 'code to sign in' };
const asked = (what) => SESSIONS[what] || what.replace(/^POST \/v1\/workflows\/batch\/([a-z2-7]{12}\/)?/, '').replace(/^POST \/v1\//, '').replace(/^(POST|DELETE) \//, '$1 ');
const decoded = (query) => [...new URLSearchParams(query)].map(([name, value]) => `${name}=${value}`).join(' ');
function Answered({ one }) {
  if (!one.status) return /^(POST|DELETE)/.test(one.what) ? html`<${Mark} shape="half" colour="doubt">not known<//>` : html`<span class="q">on the shell</span>`;
  return one.status < 400 ? html`<${Mark} shape="check" colour="done">${one.status}<//>` : html`<${Mark} shape="cross" colour="bad">${one.status} ${one.code}<//>`;
}
