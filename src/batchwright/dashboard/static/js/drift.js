// How an environment differs now from what its runs asked for: per server, field and label, and what to do about it.
import { html, useState } from '../vendor/htm-preact.js';
import { ask } from './net.js';
import { Copy, Mark, Numbers, Refused, Section, Some, Time } from './parts.js';
import { runLink } from './home.js';
import { environmentPath, href, live, may, session, useQuery, useStore } from './store.js';
import { useTitle } from './title.js';
import { many, num } from './words.js';

const STATES = { drifted: ['drifted', 'warn', 'retry'], unknown: ['not known', 'half', 'doubt'], accepted: ['accepted', 'check', 'wait'], same: ['same', 'check', 'done'] };
const looks = {}; // what was found last, by environment: it stays while the page does
const LOOK_SECONDS = 300;

export function DriftScreen() {
  const word = useQuery('environment'), name = word.split(':').pop(), all = useQuery('all'), [found, set] = useState(looks[word] || null), [busy, setBusy] = useState(false), dead = !useStore(live).ok;
  useTitle(`${name} drift`, found?.counts ? (found.ok ? 'Completed' : 'Degraded') : null);
  const look = async () => {
    setBusy(true);
    looks[word] = await ask('v1/drift', { query: { environment: word }, seconds: LOOK_SECONDS }).then(({ data }) => data, (error) => ({ ...looks[word], error }));
    set(looks[word]);
    setBusy(false);
  };
  return html`<main class="page fades" id="main"><header><p class="q"><a href=${href('')}>Runs</a> / <a href=${environmentPath(word)}>${name}</a> / drift</p>
      <div class="row wrap"><h1>Drift of ${name}</h1>${word.startsWith('simulated:') ? html`<span class="tag">simulated</span>` : ''}<span class="q grow" role="status">${busy ? 'Looking at every server…' : found?.at ? html`looked at <${Time} at=${found.at} />` : 'not looked at yet'}</span>
        ${may('operator') ? html`<button class=${'btn' + (found ? '' : ' pri')} disabled=${busy || dead} onClick=${look}>${found?.at ? 'Look again' : 'Look now'}</button>` : ''}</div></header>
    ${found?.error ? html`<${Refused} error=${found.error} />` : ''}
    ${found?.counts ? html`<${Found} found=${found} all=${all === 'yes'} />` : html`<div class="empty"><h2>People change servers by hand</h2><p>Looking compares every server and task service with what the runs asked for. It connects to the servers, changes nothing, and may take a minute.</p>${may('operator') ? '' : html`<p class="q">It needs the role operator; “${session.get()?.name}” is a ${session.get()?.role}.</p>`}</div>`}
    <${Section} title="On the shell"><${Copy} text=${`batchwright drift ${word}`} /><//></main>`;
}

function Found({ found, all }) {
  const servers = new Map();
  for (const one of found.items) servers.set(one.server, [...(servers.get(one.server) || []), one]);
  const shown = [...servers].filter(([, items]) => all || items.some((one) => one.state !== 'same')), quiet = servers.size - shown.length;
  const say = found.ok ? 'Everything is as its runs left it.' : `${[found.counts.drifted && `${many(found.counts.drifted, 'thing differs', 'things differ')}`, found.counts.unknown && `${num(found.counts.unknown)} could not be looked at`].filter(Boolean).join(', ')}.`;
  return html`<p class="say">${say}${found.changing ? html` Run ${runLink(found.changing)} was changing it meanwhile, so some of this may be its work.` : ''}</p>
    <${Numbers} items=${Object.entries(STATES).filter(([state]) => found.counts[state] || state === 'same').map(([state, [text, , colour]]) => [num(found.counts[state]), text, colour])} />
    <${Some} className="sec big-gap" items=${shown} draw=${([server, items]) => html`<li key=${server}><${Server} name=${server} items=${items} all=${all} /></li>`} />
    ${quiet || all ? html`<p><a class="btn" href=${href('ui/drift', { environment: (found.simulated ? 'simulated:' : '') + found.environment, all: all ? '' : 'yes' })}>${all ? 'Only what differs' : `Show the ${many(quiet, 'server')} that ${quiet === 1 ? 'is' : 'are'} the same`}</a></p>` : ''}`;
}

function Server({ name, items, all }) {
  const server = items.find((one) => one.kind === 'server'), shown = items.filter((one) => all || one.state !== 'same');
  return html`<${Section} title=${name} about=${server ? `${server.provider} ${server.ref}` : ''}><ul class="box flush">${shown.map((one) => html`<${Item} one=${one} />`)}</ul><//>`;
}

function Item({ one }) {
  const [text, shape, colour] = STATES[one.state] || STATES.unknown, labels = one.labels || [], advice = doing(one);
  const rows = [...one.fields.filter((field) => field.field !== 'labels' || !labels.length).map((field) => [field.field, field]), ...labels.map((label) => [`label ${label.field}`, label])];
  return html`<li class="dr"><div class="row wrap"><b>${one.kind === 'server' ? 'the server' : one.kind === 'orphan' ? 'a server of no run' : one.kind === 'leftover' ? 'a server that should be gone' : one.name}</b><${Mark} shape=${shape} colour=${colour}>${text}<//>${one.trouble ? html`<span>${one.trouble}</span>` : ''}${['orphan', 'leftover'].includes(one.kind) ? html`<span class="mono">${one.ref}</span>` : ''}</div>
    ${rows.length ? html`<table class="tb cmp"><thead><tr><th scope="col">What</th><th scope="col">Asked for</th><th scope="col">Found</th></tr></thead><tbody>${rows.map(([field, each]) => html`<tr><td data-head="">${field}</td><td data-head="Asked for">${each.expected || html`<span class="f">none</span>`}</td><td data-head="Found" class="c-retry b">${each.found || html`<span class="f">none</span>`}</td></tr>`)}</tbody></table>` : ''}
    ${one.changes.length ? html`<div><span class="q">An install would change:</span><ul class="dots">${one.changes.slice(0, 12).map((change) => html`<li>${change}</li>`)}</ul>${one.changes.length > 12 ? html`<p class="q">and ${num(one.changes.length - 12)} more</p>` : ''}</div>` : ''}
    ${one.failed_checks.length ? html`<ul class="dots">${one.failed_checks.map((check) => html`<li><span class="c-bad">the check ${check.name} fails</span>: ${check.output}</li>`)}</ul>` : ''}
    ${one.reason ? html`<p class="q">${one.state === 'accepted' ? 'Accepted' : 'Was accepted'} until ${one.end}: ${one.reason}</p>` : ''}
    ${advice ? html`<div class="sec"><p>${advice[0]}</p>${advice[1] ? html`<${Copy} text=${advice[1]} />` : ''}${one.kind === 'taskserv' && one.state === 'drifted' && may('operator') ? html`<p><a class="btn" href=${href('ui/plan', { reinstall: one.name })}>Plan a run that installs it again</a></p>` : ''}</div>` : ''}</li>`;
}

/** What to do about a difference, and the line for the shell. */
function doing(one) {
  if (one.state === 'unknown') return ['Look again once it can be reached.', ''];
  if (one.state !== 'drifted') return null;
  if (one.kind === 'orphan') return ['Nothing needs it. This lists what carries the run’s label and is in no journal, and removes it after a question.', `batchwright gc --run ${one.run}`];
  if (one.kind === 'leftover') return ['The next run of this environment destroys it.', 'batchwright run FILE'];
  if (one.kind === 'taskserv') return ['Installing it again changes it back; or write the change into the file.', `batchwright run FILE --reinstall ${one.name}`];
  if (one.trouble) return ['The next run of its file makes it anew.', 'batchwright plan FILE'];
  if (one.fields.some((field) => ['zone', 'image'].includes(field.field))) return ['A server keeps its zone and image for life: a run has to replace it, and its data is lost. Or write what was found into the file.', `batchwright plan FILE --replace ${one.name}`];
  return ['The next run of its file changes it back. Or write what was found into the file, or accept it there for a while.', 'batchwright plan FILE'];
}
