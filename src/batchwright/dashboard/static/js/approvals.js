// The inbox of questions to people and of proposed changes, each with its answer.
import { html, useState } from '../vendor/htm-preact.js';
import { Commands } from './commands.js';
import { ask, useGet } from './net.js';
import { Copy, Icon, Loading, Section, Time, act } from './parts.js';
import { href, live, may, session, useStore } from './store.js';
import { Question } from './question.js';
import { useTitle } from './title.js';
import { many } from './words.js';

const ENDS = { open: '', approved: 'approved by', refused: 'refused by', applied: 'carried out; approved by' };

/** A change that somebody proposed: what it would do, and the decision of somebody else. */
function Proposal({ proposal: p, done }) {
  const [comment, set] = useState(''), [refusing, setRefusing] = useState(false), dead = !useStore(live).ok;
  const decide = (verb, said) => () => act(() => ask(`v1/proposals/${p.hash}/${verb}`, { method: 'POST', query: { comment } }), said).then((ok) => ok && done());
  const own = session.get()?.name === p.by;
  return html`<span class="c-ask"><${Icon} shape="bubble" /></span><div class="msg"><p class="b">${p.by} proposes to ${p.action}: ${p.lines[0]}</p>
      <ul class="q">${p.lines.slice(1).map((line) => html`<li>${line}</li>`)}</ul>
      <p class="q">${p.destroys ? `Destroys ${many(p.destroys, 'server')}. ` : ''}${ENDS[p.state] ? `It was ${ENDS[p.state]} ${p.decided_by}${p.comment ? `: ${p.comment}` : ''}. ` : `May decide: an operator other than ${p.by}. `}${p.applied ? html`<a href=${href(`ui/runs/${p.applied}`)}>Its run</a>` : html`Until <${Time} at=${p.until} />.`} Bound to <code>${p.hash.slice(0, 8)}</code>.</p></div>
    <div class="go row wrap">${p.state !== 'open' ? null : own || !may('operator') ? html`<span class="q">${own ? 'You proposed it: somebody else decides.' : 'Only an operator decides.'}</span>` : html`<input class="in" placeholder="Comment, for everybody who looks" aria-label=${`Comment on proposal ${p.hash.slice(0, 8)}`} maxlength="500" value=${comment} onInput=${(e) => set(e.target.value)} />
      ${refusing ? html`<button class="btn dan pri" disabled=${dead} onClick=${decide('refuse', 'You refused it.')}>Refuse ${p.hash.slice(0, 8)}</button><button class="btn" onClick=${() => setRefusing(false)}>Keep it open</button>`
      : html`<button class="btn asks" disabled=${dead} onClick=${decide('approve', 'You approved it.')}>Approve ${p.hash.slice(0, 8)}</button><button class="btn" onClick=${() => setRefusing(true)}>Refuse…</button>`}<${Commands} items=${[['Approve', `batchwright proposals approve ${p.hash}`], ['Refuse', `batchwright proposals refuse ${p.hash}`]]} />`}</div>`;
}

export function Approvals() {
  const got = useGet('v1/approvals', { every: 3 }), items = got.data?.items || [];
  const proposed = useGet('v1/proposals', { every: 3 }), changes = proposed.data?.items || [], open = changes.filter((one) => one.state === 'open').length;
  const asked = items.length + open;
  useTitle(asked ? `${many(asked, 'question')} open` : 'Approvals', asked ? 'Asks' : null);
  return html`<main class="page fades" id="main"><header><h1>Approvals</h1><p class="q">What runs ask people, the newest run first. An answer is bound to what was shown; if that has changed, it is refused.</p></header>
    <${Loading} got=${got}>${items.length ? html`<${Section} title="Open questions" about=${items.length}><ul class="att box">${items.map((q) => html`<li class="asking tall" key=${q.run + q.step}>
        <${Question} question=${q} done=${got.reload} /><a class="q below" href=${href(`ui/runs/${q.run}`)}>${q.environment}, run <span class="mono">${q.run}</span>${q.simulated ? ', simulated' : ''}</a></li>`)}</ul><//>`
    : html`<div class="empty"><h2>Nobody is asked anything</h2><p>A run asks where its workflow has an <code>approval</code>, or waits after a wave. The question appears here and on the page of the run.</p></div>`}<//>
    ${changes.length ? html`<${Section} title="Proposed changes" about=${changes.length}><ul class="att box">${[...changes].reverse().map((p) => html`<li class=${p.state === 'open' ? 'asking tall' : 'tall'} key=${p.hash}><${Proposal} proposal=${p} done=${proposed.reload} /></li>`)}</ul><//>` : null}
    <${Section} title="On the shell"><${Copy} text="batchwright approvals" /><${Copy} text="batchwright proposals list" /><//></main>`;
}
