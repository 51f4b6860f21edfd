// Beside the steps: why a step stands where it stands, its log, what happened to it; without one, what goes on now.
import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { ask, one, useGet } from './net.js';
import { Copy, Facts, Loading, State, Strip, Time, VirtualList } from './parts.js';
import { href, picked, put, url, useQuery } from './store.js';
import { STATES, dur, many, num } from './words.js';

export function Detail({ run, view, when, newest, tabs }) {
  const sel = useQuery('sel'), op = useQuery('op'), tab = useQuery('tab'), operation = !sel && view.operations.find((each) => each.id === op);
  const kinds = sel ? [['', 'Why'], ['log', 'Log'], ['hist', 'History']] : [['', operation ? 'Operation' : 'Now'], ['events', 'Events']];
  const here = kinds.some(([key]) => key === tab) ? tab : '';
  return html`<div class="ph">${tabs}<div class="row grow dh"><div class="row" role="group" aria-label="Tell">${kinds.map(([key, word]) => html`<button class="tab" aria-pressed=${String(key === here)} onClick=${() => put({ tab: key })}>${word}</button>`)}</div>
      <span class="grow" />${sel ? html`<a class="el" href=${href(`ui/runs/${run}/steps/${sel}`)} title=${sel}>${sel}</a>` : html`<span class="el q">${operation ? operation.id : ''}</span>`}</div></div>
    ${sel ? (here === 'log' ? html`<${Log} run=${run} step=${sel} when=${when} />` : html`<${Why} run=${run} step=${sel} when=${when} whole=${here === 'hist'} key=${sel} />`)
    : here === 'events' ? html`<${Events} run=${run} when=${when} newest=${newest} />` : operation ? html`<${Operation} op=${operation} run=${run} />` : html`<${Now} run=${run} view=${view} when=${when} />`}`;
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

const LINES = 500; // of a log that are shown at a time
const HEADS = { step_started: 'started', step_created: 'created', step_retrying: 'retrying', step_failed: 'failed', step_succeeded: 'succeeded', step_in_doubt: 'in_doubt', driver_started: 'in_doubt', undo_started: 'undoing', step_undone: 'undone', undo_failed: 'undo_failed' };
/** The output of a step, attempt by attempt; it is searched by the service, and its end is shown first. */
export function Log({ run, step, when }) {
  const [find, set] = useState(''), [after, setAfter] = useState(null), at = useQuery('at');
  const last = useRef(0), from = after ?? Math.max(0, last.current - LINES);
  const got = useGet(`${one(run)}/log`, { query: { step, find, at, limit: LINES, after: find ? '' : from || '' }, when: at ? 0 : when }), data = got.data, lines = data?.items || [];
  if (data && !find) last.current = data.total;
  const save = html`<a class="btn bare opt" href=${url(`${one(run)}/logs?step=${encodeURIComponent(step)}`)} target="_blank" rel="noopener">As text</a>`;
  return html`<div class="ph"><input class="in" type="search" placeholder="Find in this log" aria-label="Find in this log" value=${find} onInput=${(e) => set(e.target.value)} /><span class="q t2 grow lab" role="status">${!data ? '' : find ? `${num(data.matching)} of ${many(data.total, 'line')}` : many(data.total, 'line')}</span>
      ${!find && from > 0 ? html`<button class="btn bare" onClick=${() => setAfter(Math.max(0, from - LINES))}>Earlier</button>` : ''}${after !== null && after + LINES < last.current ? html`<button class="btn bare" onClick=${() => setAfter(null)}>The end</button>` : ''}${lines.length ? save : ''}</div>
    <${Loading} got=${got}>${lines.length ? html`<${VirtualList} className="log" role="log" label=${`Log of ${step}`} count=${lines.length} height=${20} selected=${after === null && !find ? lines.length - 1 : -1} draw=${(i, style) => html`<${Line} line=${lines[i]} find=${find} style=${style} key=${lines[i].n} />`} />`
    : html`<div class="empty"><p>${find ? 'No line has that.' : 'Nothing has been said yet.'}</p><p class="q">${find ? `${many(data?.total || 0, 'line')} in all.` : `The log of ${step} begins when it begins.`}</p></div>`}<//>`;
}
function Line({ line, find, style }) {
  const head = line.type !== 'step_output', colour = head && HEADS[line.type] ? STATES[HEADS[line.type]][2] : 'wait', at = find && line.match ? line.text.toLowerCase().indexOf(find.toLowerCase()) : -1;
  const text = at < 0 ? line.text : html`${line.text.slice(0, at)}<mark class="mk">${line.text.slice(at, at + find.length)}</mark>${line.text.slice(at + find.length)}`;
  return html`<div class="vr" style=${style}><span class="ln">${line.n}</span><span class="tm"><${Time} at=${line.at} /></span><span class=${'el' + (head ? ` b c-${colour}` : '')} title=${line.text}>${text}</span></div>`;
}

const EVENTS = 500, EVENTS_KEPT = 4_000; // asked for at a time; kept, so that a long run takes no more memory than a short one
/** The events of the run by their number. Those after the last one are asked for, so none is missing and none comes twice; earlier ones when they are looked at. */
export function Events({ run, when, newest }) {
  const known = useRef(new Map()), last = useRef(Math.max(0, newest - EVENTS)), looked = useRef(0), busy = useRef(false), asked = useRef(new Set()), [count, set] = useState(0), [, redraw] = useState(0);
  const get = async (after) => {
    const { data } = await ask(`${one(run)}/events`, { query: { after, limit: EVENTS } }), far = (seq, from) => Math.abs(seq - from) > 2 * EVENTS;
    for (const { seq, at, line } of data.items) known.current.set(seq, { at, line });
    if (known.current.size > EVENTS_KEPT) for (const seq of [...known.current.keys()]) if (far(seq, looked.current) && far(seq, after)) known.current.delete(seq);
    return data;
  };
  const earlier = async (after) => {
    if (asked.current.has(after)) return;
    asked.current.add(after);
    looked.current = after;
    await get(after).then(() => redraw((n) => n + 1), () => {}); // the banner says that the service does not answer
    asked.current.delete(after);
  };
  useEffect(() => {
    (async () => {
      if (busy.current) return;
      busy.current = true;
      try {
        for (let more = true; more;) {
          const data = await get(last.current);
          last.current = data.items.at(-1)?.seq || last.current;
          set(last.current);
          more = data.next_after != null;
        }
      } catch { /* the next change asks again */ }
      busy.current = false;
    })();
  }, [run, when]);
  return html`<${VirtualList} className="log" role="log" label="Events" count=${count} height=${20} selected=${count - 1} draw=${(i, style) => {
    const event = known.current.get(i + 1);
    if (!event) earlier(i - (i % EVENTS));
    return html`<div class="vr" data-seq=${i + 1} key=${i} style=${style}><span class="ln">${i + 1}</span><span class="tm">${event ? html`<${Time} at=${event.at} />` : ''}</span><span class="el" title=${event?.line}>${event?.line || '…'}</span></div>`;
  }} />`;
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
    ${why.in_flight.length ? html`<section><h3>In flight</h3><ul>${why.in_flight.slice(0, 8).map((step) => html`<li class="row line-28"><span class="w104"><${State} of=${step.state} /></span><button class="btn bare name el grow" onClick=${() => put({ sel: step.step })}>${step.step}</button><span class="q el">${step.said || ''}</span><span class="q nw">${dur(why.time - step.attempt_at)}</span></li>`)}</ul>
      ${more ? html`<p class="q">and ${num(more)} more</p>` : ''}</section>` : ''}
    ${list('Waiting, and for what', why.waiting)}${list('Not run, and why', [...view.skipped, ...view.not_wanted])}
    ${view.past ? '' : html`${view.providers.some((each) => each.limit) ? html`<section><h3>Providers</h3><ul>${view.providers.filter((each) => each.limit).map((each) => html`<li>${each.name}: <span class="q">${each.limit}</span></li>`)}</ul></section>` : ''}${why.next ? html`<p class="q">${why.next}</p>` : ''}<${Copy} text=${`batchwright monitor ${run}`} />`}
    ${why.failures.length ? html`<${Told} run=${run} role="triage" title="Why it failed, and what can be done" />` : ''}<${Told} run=${run} role="handover" title="Hand-over note" />` : ''}<//></div>`;
}
