// What can be done to a run: buttons for what its state and the reader's role allow, and the commands that do the same.
import { html, useState } from '../vendor/htm-preact.js';
import { Commands } from './commands.js';
import { Later } from './modules.js';
import { ask, one, useGet } from './net.js';
import { act } from './parts.js';
import { href, live, may, useQuery, useStore } from './store.js';
import { ENDED } from './words.js';

const STOPPED = ['Failed', 'Cancelled'];

/** The buttons and the commands; nothing that the service would refuse. */
export function Actions({ view }) {
  const at = useQuery('at'), past = view.past || at, [dialog, set] = useState(''), dead = !useStore(live).ok, going = ['Pending', 'Running'].includes(view.status), paused = view.status === 'Paused', ended = ENDED.includes(view.status);
  const resumable = paused || STOPPED.includes(view.status) || (view.status !== 'Completed' && !ended && !view.driven), undoable = ended && view.status !== 'RolledBack', run = view.run;
  const asks = useGet(resumable && !view.driven && may('operator') ? `${one(run)}/resume` : ''), questions = asks.data?.commands || [], lanes = asks.data?.lanes || [];
  const does = (verb, done, query) => () => act(() => ask(`${one(run)}/${verb}`, { method: 'POST', query }), done);
  const open = (name) => () => set(name);
  const acts = may('operator') && !past ? html`
    ${going ? html`<button class="btn" disabled=${dead} onClick=${does('pause', 'Pause was asked for: what is in flight ends, nothing new begins.')}>Pause</button>` : ''}
    ${resumable ? html`<button class="btn" disabled=${dead} onClick=${questions.length || lanes.length ? open('Resume') : does('resume', 'It continues with what is not done.')}>${questions.length || lanes.length ? 'Resume…' : 'Resume'}</button>` : ''}
    ${going || paused ? html`<button class="btn" disabled=${dead} onClick=${open('Cancel')}>${view.cancelling ? 'Cancel by force…' : 'Cancel…'}</button>` : ''}
    ${ended ? html`<a class="btn" href=${href(`ui/runs/${run}/checks`)}>Check</a>` : ''}
    ${undoable ? html`<a class="btn dan" href=${href(`ui/runs/${run}/rollback`)}>Roll back…</a>` : ''}` : '';
  const lines = [['Watch it', `batchwright monitor ${run}`], ['All that is known', `batchwright status ${run}`],
    ...(past ? [] : [going && ['Pause', `batchwright pause ${run}`], resumable && ['Resume', `batchwright resume ${run}`], (going || paused) && ['Cancel', `batchwright cancel ${run}`], (going || paused) && ['Cancel by force', `batchwright cancel ${run} --force`],
      ended && ['Check what it installed', `batchwright check ${run}`], undoable && ['Roll back', `batchwright rollback ${run}`]])].filter(Boolean);
  return html`<div class="row acts">${acts}<${Commands} items=${lines} /></div>
    ${dialog ? html`<${Later} module="action_dialogs" name=${dialog} props=${{ view, asks, close: () => set('') }} />` : ''}`;
}
