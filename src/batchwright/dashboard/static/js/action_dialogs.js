// The questions before a run is cancelled, or resumed with answers.
import { html, useState } from '../vendor/htm-preact.js';
import { ask, one } from './net.js';
import { Copy, Dialog, Loading, act } from './parts.js';
import { many } from './words.js';

export function Cancel({ view, close }) {
  const [forced, force] = useState(!!view.cancelling), flying = view.running.length + view.running_more;
  const go = async () => { if (await act(() => ask(`${one(view.run)}/cancel`, { method: 'POST', query: { force: forced ? 'true' : '' } }), forced ? 'It was cancelled without waiting.' : 'Cancel was asked for: what is in flight ends, then the run. What it made stays.')) close(); };
  return html`<${Dialog} title=${`Cancel run ${view.run}?`} onClose=${close}><div class="sec top-gap">
    <label class="row top"><input type="radio" name="how" checked=${!forced} disabled=${!!view.cancelling} onChange=${() => force(false)} /><span><b>Wait</b> for ${flying ? `the ${many(flying, 'call')} in flight` : 'what is in flight'}, then end. ${view.cancelling ? 'This was asked for already.' : ''}</span></label>
    <label class="row top"><input type="radio" name="how" checked=${forced} onChange=${() => force(true)} /><span><b>By force</b>: do not wait. Calls in flight are then in doubt until a resume or a rollback settles them.</span></label>
    <p class="q">What the run made stays; a rollback takes it away, a resume continues.</p>
    <${Copy} text=${`batchwright cancel ${view.run}${forced ? ' --force' : ''}`} />
    <div class="row wrap"><button class=${'btn pri' + (forced ? ' dan' : '')} onClick=${go}>${forced ? 'Cancel by force' : 'Cancel the run'}</button><button class="btn" onClick=${close}>Let it go on</button></div></div><//>`;
}

/** The answers that a resume needs: what to do with each command of which nobody knows how far it got. */
export function Resume({ view, asks, close }) {
  const { run } = view, { commands = [], lanes = [] } = asks.data || {}, [answers, set] = useState({}), [outputs, give] = useState({}), [gone, setGone] = useState([]);
  const put = (step, word) => set({ ...answers, [step]: word }), of = (word) => commands.filter((one) => answers[one.step] === word).map((one) => one.step);
  const given = commands.filter((one) => answers[one.step] === 'skip').flatMap((one) => one.outputs.map((key) => [`${one.operation}.${key}`, outputs[`${one.operation}.${key}`] || '']));
  const open = gone.length ? false : commands.some((one) => !answers[one.step]) || given.some(([, value]) => !value);
  const query = gone.length ? { forget: gone } : { redo: of('redo'), skip: of('skip'), output: given.map((pair) => pair.join('=')) };
  const line = ['batchwright resume', run, ...Object.entries(query).flatMap(([name, list]) => list.map((word) => `--${name} ${/^[\w./=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`}`))].join(' ');
  const go = async () => { if (await act(() => ask(`${one(run)}/resume`, { method: 'POST', query }), gone.length ? 'The calls were given up. The run was not continued.' : 'It continues with what is not done.')) close(); };
  return html`<${Dialog} title=${`Resume run ${run}`} onClose=${close}><${Loading} got=${asks}><div class="sec top-gap">
    ${commands.length && !gone.length ? html`<p>Nobody knows how far ${commands.length === 1 ? 'this command' : 'these commands'} got. Look at what ${commands.length === 1 ? 'it did' : 'they did'}, then decide.</p>` : ''}
    ${gone.length ? '' : commands.map((one) => html`<fieldset class="box" key=${one.step}><legend class="b">${one.step}</legend><p class="q">${one.message}</p>
      <label class="row top"><input type="radio" name=${one.step} checked=${answers[one.step] === 'redo'} onChange=${() => put(one.step, 'redo')} /><span><b>Run it again</b></span></label>
      <label class="row top"><input type="radio" name=${one.step} disabled=${!one.skippable} checked=${answers[one.step] === 'skip'} onChange=${() => put(one.step, 'skip')} /><span><b>Mark it as done</b>${one.skippable ? '' : html` <span class="q">not possible: only running it tells its answer</span>`}</span></label>
      ${answers[one.step] === 'skip' ? one.outputs.map((key) => html`<label class="sec"><span class="q">What it gave as <b class="mono">${key}</b></span><input class="in mono" value=${outputs[`${one.operation}.${key}`] || ''} onInput=${(e) => give({ ...outputs, [`${one.operation}.${key}`]: e.target.value })} /></label>`) : ''}</fieldset>`)}
    ${lanes.map((lane) => html`<label class="row top"><input type="checkbox" checked=${gone.includes(lane.lane)} onChange=${(e) => setGone(e.target.checked ? [...gone, lane.lane] : gone.filter((each) => each !== lane.lane))} /><span><b>${lane.lane} is gone for good</b>: give up its ${many(lane.servers.length, 'call')} of unknown outcome${lane.servers.length ? ` (${lane.servers.slice(0, 5).join(', ')})` : ''}, so that the next run of the environment may begin. This run is not continued.</span></label>`)}
    <${Copy} text=${line} />
    <div class="row wrap"><button class=${'btn pri' + (gone.length ? ' dan' : '')} disabled=${open} onClick=${go}>${gone.length ? 'Give up these calls' : 'Resume'}</button><button class="btn" onClick=${close}>Not now</button></div></div><//><//>`;
}
