// Whether what a run installed is well now, and whether its label is on anything that its journal does not know.
import { html, useState } from '../vendor/htm-preact.js';
import { TypedConfirm } from './confirm.js';
import { ask, one, useGet } from './net.js';
import { Copy, Loading, Mark, Refused, Section, Table } from './parts.js';
import { href, live, may, session, useStore } from './store.js';
import { useTitle } from './title.js';
import { many, num } from './words.js';

const LOOK_SECONDS = 300;

export function ChecksScreen({ run: word }) {
  const view = useGet(one(word)), run = view.data, id = run?.run || word;
  useTitle('Checks', null);
  return html`<main class="page fades" id="main"><${Loading} got=${view}>${run ? html`<header><p class="q"><a href=${href('')}>Runs</a> / <a href=${href(`ui/runs/${id}`)}>${run.environment}, run <span class="mono">${id}</span></a> / check</p><h1>Is what it made well?</h1></header>
    ${may('operator') ? html`<${Health} run=${id} /><${Orphans} run=${id} name=${run.environment} />` : html`<div class="box"><h2>Your role does not allow this</h2><p>Looking at servers needs the role operator; “${session.get()?.name}” is a ${session.get()?.role}.</p></div>`}` : ''}<//></main>`;
}

function useLook(path, query) {
  const [found, set] = useState(null), [busy, setBusy] = useState(false);
  const look = async () => { setBusy(true); set(await ask(path, { method: 'POST', query, seconds: LOOK_SECONDS }).then(({ data }) => data, (error) => ({ error }))); setBusy(false); };
  return [found, busy, look];
}
const Well = ({ ok, bad }) => ok ? html`<${Mark} shape="check" colour="done">well<//>` : html`<${Mark} shape="cross" colour="bad">${bad || 'not well'}<//>`;

function Health({ run }) {
  const [found, busy, look] = useLook(`${one(run)}/checks`), dead = !useStore(live).ok, items = found?.items || [], checks = found?.checks || [];
  return html`<${Section} title="Health" about="of the task services that it installed, and of what its checks look at" tools=${html`<button class="btn" disabled=${busy || dead} onClick=${look}>${busy ? 'Looking…' : found ? 'Look again' : 'Look now'}</button>`}>
    <${Refused} error=${found?.error} />${found && !found.error ? html`<p class="say" role="status">${found.ok ? items.length + checks.length ? 'All of it is well.' : 'It installed nothing that could be checked.' : `${many(items.filter((each) => !each.ok).length + checks.filter((each) => !each.ok).length, 'thing is', 'things are')} not well.`}</p>
    <${Table} label="Task services" heads=${[['What', 'nw'], ['On', 'nw'], ['State', 'nw'], ['Says', '']]} rows=${[...items.map((each) => [html`<b>${each.taskserv}</b>`, each.server, html`<${Well} ok=${each.ok} />`, each.trouble || each.checks.filter((check) => !check.ok).map((check) => `${check.name}: ${check.output}`).join('; ')]),
      ...checks.map((each) => [html`<b>${each.subject || each.step}</b>`, each.server, html`<${Well} ok=${each.ok} />`, each.output])]} />` : ''}<${Copy} text=${`batchwright check ${run}`} /><//>`;
}

function Orphans({ run, name }) {
  const [found, busy, look] = useLook(`${one(run)}/gc`), [gone, set] = useState(null), dead = !useStore(live).ok, left = gone || found, items = left?.strays || [], kept = new Map((gone?.left || []).map(([each, fault]) => [each.ref, fault.message]));
  const remove = async () => { const { data } = await ask(`${one(run)}/gc`, { method: 'POST', query: { remove: 'true' }, seconds: LOOK_SECONDS }); set(data); };
  return html`<${Section} title="Orphans" about="what carries the label of this run, and is not in its journal" tools=${html`<button class="btn" disabled=${busy || dead} onClick=${() => { set(null); look(); }}>${busy ? 'Asking the providers…' : found ? 'Look again' : 'Look now'}</button>`}>
    <${Refused} error=${found?.error} />${left && !left.error ? html`<p role="status">${items.length ? `${many(items.length, 'orphan')} found${gone ? `, ${num(gone.removed)} removed` : ''}.` : html`<${Mark} shape="check" colour="done">There is nothing of it that its journal does not know.<//>`}</p>
      <${Table} label="Orphans" heads=${[['What', 'nw'], ['Reference', 'nw'], ['Provider', 'nw'], ['State', '']]} rows=${items.map((each) => [html`<b>${each.name || each.ref}</b>`, html`<span class="mono">${each.ref}</span>`, each.provider, kept.has(each.ref) ? html`<${Mark} shape="warn" colour="bad">${kept.get(each.ref)}<//>` : gone ? html`<${Mark} shape="check" colour="done">removed<//>` : html`<${Mark} shape="half" colour="doubt">orphan<//>`])} />
      ${items.length && !gone ? html`<${TypedConfirm} word=${name} deed=${`Remove ${many(items.length, 'orphan')}`} what="Removing" why="They are destroyed, and can't come back." back=${href(`ui/runs/${run}`)} go=${remove} />` : ''}` : ''}<${Copy} text=${`batchwright gc --run ${run}`} /><//>`;
}
