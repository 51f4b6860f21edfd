// Beside the steps: why a step stands where it stands, its log, what happened to it; without one, what goes on now.
import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { ask, one, useGet } from './net.js';
import { Copy, Facts, Loading, State, Strip, Time, VirtualList } from './parts.js';
import { href, put, useQuery } from './store.js';
import { BACK, dur, many, num } from './words.js';

export function Detail({ run, view, when, tabs }) {
  const sel = useQuery('sel'), op = useQuery('op'), tab = useQuery('tab'), operation = !sel && view.operations.find((each) => each.id === op);
  const kinds = sel ? [['', 'Why'], ['log', 'Log'], ['hist', 'History']] : [['', operation ? 'Operation' : 'Now'], ['events', 'Events']];
  const here = kinds.some(([key]) => key === tab) ? tab : '';
  return html`<div class="ph">${tabs}<div class="row grow dh"><div class="row" role="group" aria-label="Tell">${kinds.map(([key, word]) => html`<button class="tab" aria-pressed=${String(key === here)} onClick=${() => put({ tab: key })}>${word}</button>`)}</div>
      <span class="grow" />${sel ? html`<a class="el" href=${href(`ui/runs/${run}/steps/${sel}`)} title=${sel}>${sel}</a>` : html`<span class="el q">${operation ? operation.id : ''}</span>`}</div></div>
    ${sel ? (here === 'log' ? html`<${Log} run=${run} step=${sel} when=${when} />` : html`<${Why} run=${run} step=${sel} when=${when} whole=${here === 'hist'} key=${sel} />`)
    : here === 'events' ? html`<${Events} run=${run} when=${when} />` : operation ? html`<${Operation} op=${operation} run=${run} />` : html`<${Now} view=${view} />`}`;
}

export function Why({ run, step, when, whole }) {
  const got = useGet(`${one(run)}/explain`, { query: { step }, when }), told = got.data;
  return html`<div class="why"><${Loading} got=${got}>${told ? html`<p class="say">${told.summary}</p>
    <ol class="chain">${(whole ? told.chain : told.chain.slice(-6)).map((link) => html`<li><${Time} at=${link.at} /><span class="c-wait" aria-hidden="true">·</span><span>${link.text}</span></li>`)}</ol>
    ${told.waits_for.length ? html`<div><h3>Waits for</h3><ul>${told.waits_for.map((what) => html`<li>${what}</li>`)}</ul></div>` : ''}
    <${Facts} items=${[['operation', told.operation], ['provider', told.provider], ['planned from', told.planned_from], ['next', told.next], ...told.values.map((value) => [value.reference, html`<code>${String(value.value)}</code>${value.step ? ` from ${value.step}` : ''}`])]} />
    <${Copy} text=${`batchwright explain ${run} ${told.step}`} />` : ''}<//></div>`;
}

/** The output of a step, attempt by attempt. */
export function Log({ run, step, when }) {
  const got = useGet(`${one(run)}/logs`, { query: { step }, when }), [find, set] = useState('');
  const lines = typeof got.data === 'string' && got.data ? got.data.replace(/\n$/, '').split('\n').map((text, i) => [i + 1, text]) : [];
  const shown = find ? lines.filter(([, text]) => text.toLowerCase().includes(find.toLowerCase())) : lines;
  const save = html`<a class="btn bare opt" href=${new URL(`${one(run)}/logs?step=${encodeURIComponent(step)}`, new URL(href(''))).href} target="_blank" rel="noopener">As text</a>`;
  return html`<div class="ph"><input class="in" type="search" placeholder="Find in this log" aria-label="Find in this log" value=${find} onInput=${(e) => set(e.target.value)} /><span class="q t2 grow lab">${find ? `${num(shown.length)} of ${many(lines.length, 'line')}` : many(lines.length, 'line')}</span>${lines.length ? save : ''}</div>
    <${Loading} got=${got.data === '' ? { data: true } : got}>${lines.length ? html`<${VirtualList} className="log" role="log" label=${`Log of ${step}`} count=${shown.length} height=${20} draw=${(i, style) => html`<div class="vr" key=${i} style=${style}><span class="ln">${shown[i][0]}</span><span class="el line" title=${shown[i][1]}>${shown[i][1]}</span></div>`} />`
    : html`<div class="empty"><p>Nothing has been said yet.</p><p class="q">The log of ${step} begins when it begins.</p></div>`}<//>`;
}

/** All events of the run, by their number: what came since is asked for, so none is missing and none comes twice. */
export function Events({ run, when }) {
  const list = useRef([]), busy = useRef(false), [count, set] = useState(0);
  useEffect(() => {
    (async () => {
      if (busy.current) return;
      busy.current = true;
      try {
        for (let more = true; more;) {
          const after = list.current.at(-1)?.seq || 0, { data } = await ask(`${one(run)}/events`, { query: { after, limit: 500 } });
          list.current.push(...data.items.map(({ seq, at, line }) => ({ seq, at, line })));
          set(list.current.length);
          more = data.next_after != null;
        }
      } catch { /* the banner says that the service does not answer; the next change asks again */ }
      busy.current = false;
    })();
  }, [run, when]);
  return html`<${VirtualList} className="log" role="log" label="Events" count=${count} height=${20} selected=${count - 1} draw=${(i, style) => html`<div class="vr" data-seq=${list.current[i].seq} key=${i} style=${style}><span class="ln">${list.current[i].seq}</span><span class="tm"><${Time} at=${list.current[i].at} /></span><span class="el" title=${list.current[i].line}>${list.current[i].line}</span></div>`} />`;
}

function Operation({ op, run }) {
  const told = Object.entries(op.counts).map(([state, n]) => `${num(n)} ${state.replaceAll('_', ' ')}`).join(', ');
  return html`<div class="why"><p class="say">${op.id}, ${op.type.replaceAll('_', ' ')}: ${told}.</p><${Strip} counts=${op.counts} />
    <${Facts} items=${[['state', op.state], ['provider', op.provider], ['waits for', op.waiting_for.join(', ')], ['went on despite', op.despite.join(', ')]]} /><${Copy} text=${`batchwright status ${run}`} /></div>`;
}

function Now({ view }) {
  const flying = view.running;
  return html`<div class="why"><p class="say">${saying(view)}</p>
    ${flying.length ? html`<section><h3>In flight</h3><ul>${flying.slice(0, 8).map((step) => html`<li class="row line-28"><span class="w104"><${State} of=${step.doubt ? 'in_doubt' : step.state} /></span><button class="btn bare name el grow" onClick=${() => put({ sel: step.step })}>${step.step}</button><span class="q el">${step.said || ''}</span><span class="q nw">${dur(step.since)}</span></li>`)}</ul>
      ${flying.length + view.running_more > 8 ? html`<p class="q">and ${num(flying.length + view.running_more - 8)} more</p>` : ''}</section>` : ''}
    ${view.waiting.length ? html`<section><h3>Waiting, and for what</h3><ul>${view.waiting.slice(0, 6).map((one) => html`<li class="row line-28"><span class="n w48">${num(one.steps)}</span><span class="q">${one.reason}</span></li>`)}</ul></section>` : ''}
    ${[...view.skipped, ...view.not_wanted].length ? html`<section><h3>Not run, and why</h3><ul>${[...view.skipped, ...view.not_wanted].slice(0, 6).map((one) => html`<li class="row line-28"><span class="n w48">${num(one.steps)}</span><span class="q">${one.reason}</span></li>`)}</ul></section>` : ''}
    ${view.providers.some((one) => one.limit) ? html`<section><h3>Providers</h3><ul>${view.providers.filter((one) => one.limit).map((one) => html`<li>${one.name}: <span class="q">${one.limit}</span></li>`)}</ul></section>` : ''}
    ${view.next ? html`<p class="q">${view.next}</p>` : ''}<${Copy} text=${`batchwright monitor ${view.run}`} /></div>`;
}
function saying(view) {
  if (view.past) return 'This is how it was then. The steps and the timeline say what was in flight.';
  const n = view.running.length + view.running_more;
  if (view.status === 'Pending') return 'It is about to begin.';
  if (view.status === 'Paused') return 'Paused: nothing new begins until somebody resumes it.';
  if (view.status === 'Completed') return 'All that was planned has ended.';
  if (view.status === 'RolledBack') return 'What this run made is gone; what was there before stays.';
  if (view.status === 'RollbackIncomplete') return 'Something could not be undone. It can be tried again.';
  if (view.status === 'Failed' || view.status === 'Cancelled') return view.reason || 'It has ended; what it made stays until a rollback.';
  if (view.counts.asking && !n) return 'Nothing goes on until somebody answers.';
  if (BACK.includes(view.status)) return 'The rollback takes away what this run made, the last first. What was there before stays.';
  return `${many(n, 'step')} in flight${view.doubts.length ? `, ${view.doubts.length + view.doubts_more} of them in doubt` : ''}.`;
}
