// Beside the steps: why a step stands where it stands, its log, what happened to it; without one, what goes on now.
import { html, useEffect, useState } from '../vendor/htm-preact.js';
import { Later } from './modules.js';
import { one, useGet } from './net.js';
import { Copy, Facts, Loading, Name, State, Strip, Time } from './parts.js';
import { href, picked, put, useQuery } from './store.js';
import { dur, num } from './words.js';

export function Detail({ run, view, when, newest, tabs }) {
  const sel = useQuery('sel'), op = useQuery('op'), tab = useQuery('tab'), operation = !sel && view.operations.find((each) => each.id === op);
  const kinds = sel ? [['', 'Why'], ['log', 'Log'], ['hist', 'History']] : [['', operation ? 'Operation' : 'Now'], ['events', 'Events']];
  const here = kinds.some(([key]) => key === tab) ? tab : '';
  return html`<div class="ph">${tabs}<div class="row grow dh"><div class="row" role="group" aria-label="Tell">${kinds.map(([key, word]) => html`<button class="tab" aria-pressed=${String(key === here)} onClick=${() => put({ tab: key })}>${word}</button>`)}</div>
      <span class="grow" />${sel ? html`<a class="el" href=${href(`ui/runs/${run}/steps/${sel}`)} title=${sel}>${sel}</a>` : html`<span class="el q">${operation ? operation.id : ''}</span>`}</div></div>
    ${sel ? (here === 'log' ? html`<${Later} module="log" name="Log" props=${{ run, step: sel, when }} />` : html`<${Why} run=${run} step=${sel} when=${when} whole=${here === 'hist'} key=${sel} />`)
    : here === 'events' ? html`<${Later} module="log" name="Events" props=${{ run, when, newest }} />` : operation ? html`<${Operation} op=${operation} run=${run} />` : html`<${Now} run=${run} view=${view} when=${when} />`}`;
}

export function Why({ run, step, when, whole }) {
  const at = useQuery('at'), got = useGet(`${one(run)}/step`, { query: { step, at }, when: at ? 0 : when }), told = got.data, why = told?.why;
  useEffect(() => { if (told) picked.set({ step: told.row.step, operation: told.row.operation, begin: told.row.started_at, end: told.row.ended_at }); }, [told]);
  const names = (list, more) => list.length ? list.map((each) => each.step || each.operation).join(', ') + (more ? ` and ${num(more)} more` : '') : '';
  return html`<div class="why"><${Loading} got=${got}>${told ? html`<p class="say">${why.summary}</p>
    <ol class="chain">${(whole ? why.chain : why.chain.slice(-6)).map((link) => html`<li><${Time} at=${link.at} /><span class="c-wait" aria-hidden="true">·</span><span>${link.text}</span></li>`)}</ol>
    ${why.waits_for.length ? html`<div><h3>Waits for</h3><ul>${why.waits_for.map((what) => html`<li>${what}</li>`)}</ul></div>` : ''}
    <${Facts} items=${[['does', told.does], ['undo', told.undoes || 'nothing to undo'], ['needs', names(told.needs, told.needs_more)], ['then', names(told.then, told.then_more) || 'nothing waits for it'], ['provider', told.row.provider], ['reference', told.row.ref], ['address', told.row.address],
      ...told.changes.map((change) => [change.field, html`${change.from != null ? html`<del>${change.from}</del> to ` : ''}<ins>${change.to ?? 'nothing'}</ins>`]), ['planned from', why.planned_from], ['next', why.next], ...why.values.map((value) => [value.reference, html`<code>${String(value.value)}</code>${value.step ? ` from ${value.step}` : ''}`])]} />
    ${(told.commands.length ? told.commands : [`batchwright explain ${run} ${why.step}`]).map((line) => html`<${Copy} text=${line} />`)}` : ''}<//></div>`;
}

function Operation({ op, run }) {
  const told = Object.entries(op.counts).map(([state, n]) => `${num(n)} ${state.replaceAll('_', ' ')}`).join(', ');
  return html`<div class="why"><p class="say">${op.id}, ${op.type.replaceAll('_', ' ')}: ${told}.</p><${Strip} counts=${op.counts} />
    <${Facts} items=${[['state', op.state], ['provider', op.provider], ['waits for', op.waiting_for.join(', ')], ['went on despite', op.despite.join(', ')]]} /><${Copy} text=${`batchwright status ${run}`} /></div>`;
}

/** What roles say of the run: the facts that `ask` prints, computed when they are opened. */
function Told({ run, role, title }) {
  const at = useQuery('at'), [open, set] = useState(false), got = useGet(open ? `v1/agents/${role}` : '', { query: { run, at } });
  const plain = (text) => text.replace(/<\/?data>/g, '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>');
  return html`<details onToggle=${(event) => set(event.currentTarget.open)}><summary class="b">${title}</summary>${open ? html`<${Loading} got=${got}>${(got.data?.reports || []).map((each) => html`<${Copy} label=${title} text=${`${each.summary}\n${plain(each.text)}`} />`)}<${Copy} text=${`batchwright ask ${role} ${run}`} /><//>` : ''}</details>`;
}

/** Why the run does not go on, or what it does; also as it was at an earlier moment. */
function Now({ run, view, when }) {
  const at = useQuery('at'), got = useGet(`${one(run)}/why`, { query: { at }, when: at ? 0 : when }), why = got.data;
  const list = (title, items) => items.length ? html`<section><h3>${title}</h3><ul>${items.slice(0, 6).map((each) => html`<li class="row line-28"><span class="n w48">${num(each.steps)}</span><span class="q">${each.reason}</span></li>`)}</ul></section>` : '', more = why ? Math.max(0, why.in_flight.length - 8) + why.in_flight_more : 0;
  return html`<div class="why"><${Loading} got=${got}>${why ? html`<p class="say">${why.sentence}</p>
    ${why.in_flight.length ? html`<section><h3>In flight</h3><ul>${why.in_flight.slice(0, 8).map((step) => html`<li class="row line-28"><span class="w104"><${State} of=${step.state} /></span><button class="btn bare name el grow" aria-label=${step.step} onClick=${() => put({ sel: step.step })}><${Name} of=${step.step} /></button><span class="q el">${step.said || ''}</span><span class="q nw">${dur(why.time - step.attempt_at)}</span></li>`)}</ul>
      ${more ? html`<p class="q">and ${num(more)} more</p>` : ''}</section>` : ''}
    ${list('Waiting, and for what', why.waiting)}${list('Not run, and why', [...view.skipped, ...view.not_wanted])}
    ${view.past ? '' : html`${view.providers.some((each) => each.limit) ? html`<section><h3>Providers</h3><ul>${view.providers.filter((each) => each.limit).map((each) => html`<li>${each.name}: <span class="q">${each.limit}</span></li>`)}</ul></section>` : ''}${why.next ? html`<p class="q cap">${why.next}</p>` : ''}<${Copy} text=${`batchwright monitor ${run}`} />`}
    ${why.failures.length ? html`<${Told} run=${run} role="triage" title="Why it failed, and what can be done" />` : ''}<${Told} run=${run} role="handover" title="Hand-over note" />` : ''}<//></div>`;
}
