// What destroying an environment would take away, before it is asked for; confirmed by typing its name.
import { html, useState } from '../vendor/htm-preact.js';
import { TypedConfirm } from './confirm.js';
import { ask, useGet } from './net.js';
import { Copy, Diagnostics, Loading, Mark, Numbers, Section, Table } from './parts.js';
import { environmentPath, go, href, may, session, useQuery } from './store.js';
import { useTitle } from './title.js';
import { many, num } from './words.js';

const ANSWER_SECONDS = 180; // the providers are asked

export function DestroyScreen() {
  const word = useQuery('environment'), name = word.split(':').pop(), got = useGet(may('operator') ? 'v1/environments/destroy/plan' : '', { query: { environment: word }, method: 'POST', seconds: ANSWER_SECONDS });
  useTitle('Destroy', null);
  return html`<main class="page fades" id="main"><header><p class="q"><a href=${href('')}>Runs</a> / <a href=${environmentPath(word)}>${name}</a> / destroy</p>
      <div class="row wrap"><h1>Destroy ${name}?</h1>${word.startsWith('simulated:') ? html`<span class="tag">simulated</span>` : ''}<span class="q">all that it has, by a run of its own; nothing has been changed yet</span></div></header>
    ${may('operator') ? html`<${Loading} got=${got}>${got.data ? html`<${Preview} word=${word} name=${name} plan=${got.data.plan} warnings=${got.data.diagnostics} />` : ''}<//>`
    : html`<div class="box"><h2>Your role does not allow this</h2><p>Destroying needs the role operator; “${session.get()?.name}” is a ${session.get()?.role}.</p></div>`}</main>`;
}

function Preview({ word, name, plan, warnings }) {
  const [key] = useState(() => crypto.randomUUID?.() || String(Math.random()).slice(2) + Date.now());
  const gone = plan.steps.filter((step) => step.removes), servers = gone.filter((step) => !step.subject), undone = plan.steps.length - servers.length;
  const services = new Set(servers.flatMap((step) => step.changes.filter((change) => change.field === 'taskservs').flatMap((change) => String(change.from || '').split(', ').map((each) => `${step.name}/${each}`))));
  const cells = plan.steps.slice(0, 500).map((step, i) => [num(i + 1), html`<b>${step.name || step.id}</b>`, html`<${Mark} shape=${step.removes ? 'cross' : 'back'} colour=${step.removes ? 'bad' : 'undo'}>${step.removes ? 'destroy' : 'run its undo'}<//>`, step.provider,
    html`<span>${step.about || step.does}${step.changes.map((change) => change.from ? html`<span class="q">; ${change.field === 'taskservs' ? 'with' : change.field} ${change.from}</span>` : '')}</span>`]);
  const deed = [servers.length && `Destroy ${many(servers.length, 'server')}`, undone && `${servers.length ? 'undo' : 'Undo'} ${many(undone, 'command')}`].filter(Boolean).join(', ') || 'Destroy';
  const begin = async () => {
    const { data } = await ask('v1/environments/destroy', { method: 'POST', query: { environment: word, plan_hash: plan.hash }, headers: { 'Idempotency-Key': key }, seconds: ANSWER_SECONDS });
    go(href(`ui/runs/${data.run}`));
  };
  const side = html`<div class="sec">${plan.steps.length ? html`<${TypedConfirm} word=${name} deed=${deed} what="Destroying" back=${environmentPath(word)} go=${begin} why=${html`Everything in the list goes, with its data and its addresses, and can't come back. The run can be cancelled; what is gone by then stays gone. A yes holds for plan <span class="mono">${plan.hash.slice(0, 8)}</span> only.`} />` : ''}
      ${warnings.length ? html`<div class="box"><h2>Look at this</h2><${Diagnostics} items=${warnings} /></div>` : ''}
      <div class="box"><h2>On the shell</h2><${Copy} text=${`batchwright destroy ${word} --plan`} /><${Copy} text=${`batchwright destroy ${word}`} /></div></div>`;
  return html`<${Numbers} items=${[[num(servers.length), 'servers destroyed', servers.length ? 'bad' : ''], [num(services.size), 'task services go with them'], undone && [num(undone), 'commands undone', 'undo']]} />
    <div class="two"><${Section} title="In this order" about="the reverse of the order they were made in"><${Table} label="What is destroyed, in order" rows=${cells} heads=${[['Order', 'n hide-s'], ['What', 'nw'], ['How', 'nw'], ['Provider', 'nw hide-s'], ['Note', '']]} empty=${html`<p class="q">It has nothing that could be destroyed.</p>`} /><//>${side}</div>`;
}
