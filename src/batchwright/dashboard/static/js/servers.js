// Servers: those of all runs, or of one environment with what is on them.
import { html, useState } from '../vendor/htm-preact.js';
import { ask, useGet } from './net.js';
import { Copy, Loading, Mark, Numbers, Refused, Section, State, Table, Time } from './parts.js';
import { href, may, put, useQuery } from './store.js';
import { runLink } from './home.js';
import { useTitle } from './title.js';
import { many, num } from './words.js';

export function Servers() {
  const got = useGet('v1/servers', { every: 10, query: { runs: 200 } }), find = useQuery('find').toLowerCase(), by = useQuery('by') || 'provider';
  const [live, setLive] = useState(null);
  useTitle('Servers', null);
  const items = (got.data?.items || []).filter(({ run, server }) => [server.name, server.ref, server.address, server.zone, server.provider, run].some((word) => word.toLowerCase().includes(find)));
  const groups = new Map();
  for (const one of items) {
    const key = by === 'run' ? one.run : `${one.server.provider}${one.server.zone ? `, ${one.server.zone}` : ''}`;
    groups.set(key, [...(groups.get(key) || []), one]);
  }
  const look = async () => { setLive({ busy: true }); setLive(await ask('v1/servers/look', { method: 'POST', seconds: 180 }).then(({ data }) => data, (error) => ({ error }))); };
  return html`<main class="page fades" id="main"><header class="row wrap"><h1>Servers</h1><span class="q grow">that runs made or keep, as their journals say</span>
      <input class="in" type="search" data-find placeholder="Find a server" aria-label="Find a server" value=${find} onInput=${(e) => put({ find: e.target.value })} />
      <select class="in" aria-label="Group by" value=${by} onChange=${(e) => put({ by: e.target.value })}><option value="provider">by provider and zone</option><option value="run">by run</option></select>
      ${may('operator') ? html`<button class="btn" disabled=${live?.busy} onClick=${look}>${live?.busy ? 'Asking the providers…' : 'Ask the providers'}</button>` : ''}</header>
    ${live?.error ? html`<${Refused} error=${live.error} />` : ''}${live?.servers ? html`<${Found} found=${live} known=${got.data?.items || []} />` : ''}
    <${Loading} got=${got}>${items.length ? [...groups].sort().map(([name, list]) => html`<${Group} name=${name} list=${list} small=${items.length <= 80} key=${`${name} ${items.length <= 80}`} />`) : html`<div class="empty"><h2>${find ? 'No server is like that' : 'No servers'}</h2><p>${find ? '' : 'No run has made one that still stands.'}</p></div>`}
      ${got.data?.runs_more ? html`<p class="q">${num(got.data.runs_more)} older runs were not read.</p>` : ''}<//>
    <${Section} title="On the shell"><${Copy} text="batchwright servers" /><//></main>`;
}

/** The servers of a zone or a run; those of a large place when they are asked for. */
function Group({ name, list, small }) {
  const [open, set] = useState(small || list.length < 4);
  const rows = () => list.map(({ run, server }) => [html`<b>${server.name}</b>`, server.ready ? html`<${Mark} shape="check" colour="done">up<//>` : html`<${Mark} shape="step" colour="run">not ready<//>`, server.address, server.plan, html`${runLink(run)}${server.made ? '' : html` <span class="q">was there before</span>`}`, server.ref]);
  return html`<details class="grp sec" open=${open} onToggle=${(event) => set(event.currentTarget.open)}><summary><h2>${name}</h2> <span class="q t2">${many(list.length, 'server')}</span></summary>
    ${open ? html`<${Table} label=${name} heads=${[['Server', 'nw'], ['State', 'nw'], ['Address', 'nw mono'], ['Plan', 'nw hide-s'], ['Made by', 'nw'], ['Reference', 'nw mono hide-s']]} rows=${rows()} />` : ''}</details>`;
}

/** What the providers say now: what no run knows is an orphan. */
function Found({ found, known }) {
  const refs = new Set(known.map(({ server }) => server.ref)), orphans = found.servers.filter((one) => !refs.has(one.ref));
  return html`<${Section} title="What the providers say now" about=${many(found.servers.length, 'server')}>
    ${found.troubles.length ? html`<div class="box loud"><p class="b">Not everybody answered, so this may not be all:</p><ul>${found.troubles.map((one) => html`<li>${one.provider}: ${one.message} <span class="q">${one.hint || ''}</span></li>`)}</ul></div>` : ''}
    ${orphans.length ? html`<${Table} label="Servers that no journal here names" heads=${[['Not in these journals', 'nw'], ['State', 'nw'], ['Provider', 'nw'], ['Reference', 'nw mono'], ['Run', 'nw']]} rows=${orphans.slice(0, 200).map((one) => [html`<b>${one.name}</b>`, html`<${Mark} shape="half" colour="doubt">${one.status ? 'of another run' : 'orphan'}<//>`, one.provider, one.ref, one.run])} />` : html`<p><${Mark} shape="check" colour="done">every server belongs to a run<//></p>`}<//>`;
}

const counted = (n, word) => [num(n), n === 1 ? word : `${word}s`];
export function EnvironmentScreen({ name }) {
  const simulated = useQuery('simulated'), got = useGet(`v1/environments/${name}`, { every: 5, query: { simulated: simulated || '' } });
  const it = got.data, word = `${simulated ? 'simulated:' : ''}${name}`;
  useTitle(name, it?.status);
  return html`<main class="page fades" id="main"><${Loading} got=${got}>${it ? html`<header><p class="q"><a href=${href('')}>Runs</a> / environment</p><div class="row wrap"><h1>${it.name}</h1>${it.simulated ? html`<span class="tag">simulated</span>` : ''}<${State} of=${it.status} /><span class="q grow">newest run ${runLink(it.run)} since <${Time} at=${it.since} />${it.changing ? `, driven by ${it.driver || 'nobody'}` : ''}</span>
        <a class="btn" href=${href('ui/drift', { environment: word })}>Drift</a>${may('operator') && !it.changing && (it.resources.length || it.commands.length) ? html`<a class="btn dan" href=${href('ui/destroy', { environment: word })}>Destroy…</a>` : ''}</div></header>
    <${Numbers} items=${[counted(it.resources.length, 'server'), counted(it.resources.reduce((n, one) => n + one.taskservs.length, 0), 'task service'), it.commands.length && [num(it.commands.length), 'commands with an undo'], counted(it.turn, 'turn')]} />
    ${it.unsettled ? html`<p class="c-doubt b">Run ${runLink(it.unsettled)} left a call of unknown outcome.</p>` : ''}${it.next ? html`<p class="q">${it.next}</p>` : ''}
    <${Section} title="Servers and what is on them"><${Table} label="Servers" heads=${[['Server', 'nw'], ['State', 'nw'], ['Address', 'nw mono'], ['Provider', 'nw hide-s'], ['Task services', ''], ['Made by', 'nw'], ['Changed by', 'nw hide-s']]} empty=${html`<p class="q">It has no servers.</p>`}
      rows=${it.resources.map((one) => [html`<b>${one.name}</b>${one.borrowed ? html` <span class="tag">was there before</span>` : ''}`, one.residue || one.leftover.length ? html`<${Mark} shape="warn" colour="bad">left behind<//>` : one.doubtful ? html`<${Mark} shape="half" colour="doubt">in doubt<//>` : one.whole ? html`<${Mark} shape="check" colour="done">whole<//>` : html`<${Mark} shape="loop" colour="retry">half changed<//>`,
        one.address, `${one.provider} ${one.zone} ${one.plan}`, one.taskservs.length ? html`<span>${one.taskservs.map((each) => html`<span class="tag" title=${Object.entries(each.variables).map(([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : value}`).join(' ')}>${each.name} ${each.version}</span> `)}</span>` : '', one.made_by ? runLink(one.made_by) : '', one.changed_by ? runLink(one.changed_by) : ''])} /><//>
    ${it.rollbacks.length ? html`<${Section} title="Can be rolled back" about="the newest first, then the one before it"><ul class="box">${it.rollbacks.map((one, i) => html`<li class="row wrap">${runLink(one.run)}<${State} of=${one.status} /><span class="q grow">${one.version}, <${Time} at=${one.ended_at} /></span>${i === 0 && may('operator') ? html`<a class="btn dan" href=${href(`ui/runs/${one.run}/rollback`)}>Roll back…</a>` : ''}</li>`)}</ul><//>` : ''}
    <${Section} title="On the shell"><div class="sec"><${Copy} text=${`batchwright status ${word}`} /><${Copy} text=${`batchwright drift ${word}`} /><${Copy} text=${`batchwright destroy ${word} --plan`} /></div><//>` : ''}<//></main>`;
}
