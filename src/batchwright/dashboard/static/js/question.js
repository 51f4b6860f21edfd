// One question to people, with its answer.
import { html, useState } from '../vendor/htm-preact.js';
import { Commands } from './commands.js';
import { ask, one } from './net.js';
import { Icon, Time, act } from './parts.js';
import { live, may, useStore } from './store.js';
import { many, num } from './words.js';

/** What is asked, what a yes lets through, and the answer, bound to exactly this question. */
export function Question({ question: q, done }) {
  const [comment, set] = useState(''), [refusing, setRefusing] = useState(false), dead = !useStore(live).ok;
  const through = Object.entries(q.counts).map(([action, n]) => `${num(n)} ${action}`).join(', ');
  const answer = (verb, said) => () => act(() => ask(`${one(q.run)}/${verb}`, { method: 'POST', query: { hash: q.hash, ask: q.ask, step: q.step, comment } }), said).then((ok) => ok && done?.());
  return html`<span class="c-ask"><${Icon} shape="bubble" /></span><div class="msg"><p class="b">${q.question}</p>
      <p class="q">${q.step} asks since <${Time} at=${q.asked_at} />. A yes lets ${many(q.steps.length + q.steps_more, 'step')} go on${through ? ` (${through})` : ''}${q.steps.length ? `: ${q.steps.slice(0, 4).join(', ')}${q.steps.length + q.steps_more > 4 ? ` and ${num(q.steps.length + q.steps_more - 4)} more` : ''}` : ''}.${' '}
        ${q.quorum > 1 ? `${q.answers.filter((a) => a.yes).length} of ${q.quorum} have agreed. ` : ''}${q.who ? `May answer: ${q.who}. ` : ''}${q.until ? html`Without an answer it ${q.on_expiry === 'go_on' ? 'goes on' : 'fails'} at <${Time} at=${q.until} />.` : ''} Bound to <code>${q.hash.slice(0, 8)}</code>.</p>
      ${q.answers.length ? html`<ul class="q">${q.answers.map((a) => html`<li>${a.name} said ${a.yes ? 'yes' : 'no'} at <${Time} at=${a.at} />${a.comment ? `: ${a.comment}` : ''}</li>`)}</ul>` : ''}</div>
    <div class="go row wrap">${may('operator') ? html`<input class="in" placeholder="Comment, kept in the journal" aria-label=${`Comment on ${q.step}`} maxlength="500" value=${comment} onInput=${(e) => set(e.target.value)} />
      ${refusing ? html`<button class="btn dan pri" disabled=${dead} onClick=${answer('refuse', 'You said no.')}>Refuse ${q.step}</button><button class="btn" onClick=${() => setRefusing(false)}>Keep it open</button>`
      : html`<button class="btn asks" disabled=${dead} onClick=${answer('approve', 'You said yes.')}>Approve</button><button class="btn" onClick=${() => setRefusing(true)}>Refuse…</button>`}<${Commands} items=${[['Approve', `batchwright approve ${q.run} ${q.step}`], ['Refuse', `batchwright refuse ${q.run} ${q.step}`]]} />` : html`<span class="q">A viewer can't answer.</span>`}</div>`;
}
