// One step: why it stands where it stands, all that happened, its log, and the lines to type.
import { html } from '../vendor/htm-preact.js';
import { Log, Why } from './detail.js';
import { one, useChanges, useGet } from './net.js';
import { Copy, Loading, Section, State } from './parts.js';
import { href } from './store.js';
import { useTitle } from './title.js';
import { ENDED } from './words.js';

export function StepScreen({ run, step }) {
  const view = useGet(one(run)), ended = view.data ? ENDED.includes(view.data.status) : true, id = view.data?.run || run;
  const when = useChanges(view.data ? id : '', ended), got = useGet(`${one(run)}/explain`, { query: { step }, when });
  const told = got.data, server = view.data?.servers.find((each) => (told?.step || step).split('/').includes(each.name));
  useTitle(step, told?.state);
  return html`<main class="page fades" id="main"><${Loading} got=${view}>${view.data ? html`<header><p class="q"><a href=${href('')}>Runs</a> / <a href=${href(`ui/runs/${id}`, { sel: step })}>${view.data.environment}, run <span class="mono">${id}</span></a> / step</p>
      <div class="row wrap">${told ? html`<${State} of=${told.state} big />` : ''}<h1>${told?.step || step}</h1></div></header>
    <div class="two even"><div class="sec big-gap"><${Section} title="Why"><div class="box flush"><${Why} run=${id} step=${step} when=${when} whole /></div><//></div>
      <div class="sec big-gap"><${Section} title="Log"><div class="box flush logbox"><${Log} run=${id} step=${step} when=${when} /></div><//>
        ${server ? html`<${Section} title="On its server"><${Copy} text=${`batchwright servers ssh ${server.name}`} /><//>` : ''}</div></div>` : ''}<//></main>`;
}
