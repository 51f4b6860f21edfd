// A confirmation that is typed: for what cannot be taken back.
import { html, useState } from '../vendor/htm-preact.js';
import { Refused } from './parts.js';
import { live, may, session, useStore } from './store.js';

/** `go` carries it out and may throw what the service refused; `back` is where nothing is changed. */
export function TypedConfirm({ word, deed, what, why, back, go }) {
  const [typed, set] = useState(''), [busy, setBusy] = useState(false), [error, setError] = useState(null), dead = !useStore(live).ok;
  if (!may('operator')) return html`<div class="box"><h2>Your role does not allow this</h2><p>${what} needs the role operator; “${session.get()?.name}” is a ${session.get()?.role}.</p></div>`;
  const begin = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await go();
    } catch (refusal) { setError(refusal); setBusy(false); }
  };
  return html`<form class="box loud" onSubmit=${begin}><h2>Confirm</h2><p>${why}</p>
    <label class="sec"><span>Type <b class="mono">${word}</b></span><input class="in mono" value=${typed} onInput=${(e) => set(e.target.value)} autocomplete="off" spellcheck="false" name="confirm" /></label>
    <div class="row wrap"><button class="btn dan pri" disabled=${typed !== word || busy || dead}>${deed}</button><a class="btn" href=${back}>Keep everything</a></div><${Refused} error=${error} />
    ${error?.status === 412 || error?.code === 'plan-changed' ? html`<p class="q">Something has changed since this was shown. Nothing was done. Load the page again, then decide.</p>` : ''}</form>`;
}
