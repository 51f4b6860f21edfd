// One step: why it stands where it stands, all that happened, its log, and the lines to type.
import { html, useState } from '../vendor/htm-preact.js';
import { Why } from './detail.js';
import { Log } from './log.js';
import { ask, one, useChanges, useGet } from './net.js';
import { Copy, Loading, Refused, Section, State } from './parts.js';
import { href, live, may, useStore } from './store.js';
import { useTitle } from './title.js';
import { ENDED } from './words.js';

export function StepScreen({ run, step }) {
  const view = useGet(one(run)), ended = view.data ? ENDED.includes(view.data.status) : true, id = view.data?.run || run;
  const when = useChanges(view.data ? id : '', ended), got = useGet(`${one(run)}/step`, { query: { step }, when });
  const told = got.data?.row;
  useTitle(step, told?.state);
  return html`<main class="page fades" id="main"><${Loading} got=${view}>${view.data ? html`<header><p class="q"><a href=${href('')}>Runs</a> / <a href=${href(`ui/runs/${id}`, { sel: step })}>${view.data.environment}, run <span class="mono">${id}</span></a> / step</p>
      <div class="row wrap">${told ? html`<${State} of=${told.state} big />` : ''}<h1>${told?.step || step}</h1></div></header>
    <div class="two even"><div class="sec big-gap"><${Section} title="Why"><div class="box flush"><${Why} run=${id} step=${step} when=${when} whole /></div><//></div>
      <div class="sec big-gap"><${Section} title="Log"><div class="box flush logbox"><${Log} run=${id} step=${step} when=${when} /></div><//>
        ${told?.server && (told.ref || !told.step.endsWith(`/${told.server}`)) && told.state !== 'undone' ? html`<${Login} row=${told} simulated=${view.data.simulated} />` : ''}</div></div>` : ''}<//></main>`;
}

/** How to log in to the step's server. Only its provider knows the whole line, so it is asked for it. */
function Login({ row, simulated }) {
  const [found, set] = useState(null), dead = !useStore(live).ok;
  const look = async () => {
    set({ busy: true });
    set(await ask('v1/servers/look', { method: 'POST', query: { provider: row.provider, simulate: simulated ? 'true' : '' }, seconds: 120 }).then(({ data }) => data.servers.find((each) => each.name === row.server) || { no_login: `${row.provider} does not show it` }, (error) => ({ error })));
  };
  return html`<${Section} title="On its server" about=${row.server} tools=${may('operator') ? html`<button class="btn" disabled=${dead || found?.busy} onClick=${look}>${found?.busy ? 'Asking the provider…' : 'Show the SSH line'}</button>` : ''}>
    <${Copy} text=${`batchwright servers ssh ${row.server}`} />${found?.ssh ? html`<${Copy} text=${found.ssh} />` : ''}${found?.no_login ? html`<p class="q" role="status">No login: ${found.no_login}.</p>` : ''}<${Refused} error=${found?.error} /><//>`;
}
