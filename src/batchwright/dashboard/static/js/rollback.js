// What a rollback would do, before it is asked for: what goes, what is set back, what can't come back. Confirmed by typing.
import { html } from '../vendor/htm-preact.js';
import { TypedConfirm } from './confirm.js';
import { ask, one, useGet } from './net.js';
import { Copy, Loading, Mark, Numbers, Section, Table, Time } from './parts.js';
import { go, href } from './store.js';
import { useTitle } from './title.js';
import { many, num } from './words.js';

const KINDS = {
  destroy: ['destroy', 'cross', 'bad'], remove: ['uninstall', 'back', 'undo'], restore: ['set back', 'back', 'undo'], run: ['run its undo', 'back', 'undo'], release: ['let go', 'dash', 'wait'],
  'with-server': ['goes with its server', 'undone', 'undo'], stays: ['stays', 'dash', 'wait'], finish: ['removal is finished', 'warn', 'bad'], gone: ["can't come back", 'warn', 'bad'], keep: ['kept', 'dash', 'wait'], blocked: ['blocks the destroy', 'warn', 'bad'], unknown: ['not known', 'half', 'doubt'],
};
const LOST = ['gone', 'blocked', 'unknown'];

export function RollbackScreen({ run: word }) {
  const view = useGet(one(word)), got = useGet(`${one(word)}/rollback`);
  const run = view.data;
  useTitle('Roll back', null);
  return html`<main class="page fades" id="main"><${Loading} got=${view}>${run ? html`<header><p class="q"><a href=${href('')}>Runs</a> / <a href=${href(`ui/runs/${run.run}`)}>${run.environment}</a> / roll back</p>
      <div class="row wrap"><h1>Roll back run ${run.run}?</h1><span class="q">${run.environment} · ${run.status}${run.ended_at ? html` <${Time} at=${run.ended_at} />` : ''} · nothing has been changed yet</span></div></header>
    <${Loading} got=${got}>${got.data ? html`<${Preview} run=${run} lines=${got.data.undo} etag=${view.etag} />` : ''}<//>` : ''}<//></main>`;
}

function Preview({ run, lines, etag }) {
  const of = (...kinds) => lines.filter((line) => kinds.includes(line.what)), destroyed = of('destroy'), back = of('restore', 'remove', 'run'), lost = of(...LOST);
  const cells = lines.map((line, i) => [num(i + 1), html`<span title=${line.step}>${line.step}</span>`, html`<${Mark} shape=${KINDS[line.what]?.[1] || 'dash'} colour=${KINDS[line.what]?.[2] || 'wait'}>${KINDS[line.what]?.[0] || line.what}<//>`, line.ref, line.note]);
  const deed = [destroyed.length && `Destroy ${many(destroyed.length, 'server')}`, back.length && `${destroyed.length ? 'set' : 'Set'} back ${num(back.length)}`].filter(Boolean).join(', ') || 'Roll back';
  const begin = async () => {
    await ask(`${one(run.run)}/rollback`, { method: 'POST', headers: { 'If-Match': etag } });
    go(href(`ui/runs/${run.run}`));
  };
  return html`<${Numbers} items=${[[num(destroyed.length), 'servers destroyed', destroyed.length ? 'bad' : ''], [num(back.length), 'set back or uninstalled', 'undo'], [num(of('with-server').length), 'go with their server'], [num(lost.length), "can't come back", lost.length ? 'bad' : ''], [num(of('stays', 'keep', 'release').length), 'stay as they are']]} />
    <div class="two"><div class="sec"><${Section} title="In this order" about="the reverse of the order they were made in"><${Table} label="What is undone, in order" rows=${cells} heads=${[['Order', 'n hide-s'], ['What', ''], ['How', 'nw'], ['Reference', 'mono hide-s'], ['Note', '']]} empty=${html`<p class="q">There is nothing to undo.</p>`} /><//>
      ${lost.length ? html`<${Section} title="What can't come back"><ul class="box">${lost.slice(0, 20).map((line) => html`<li class="row top"><${Mark} shape="warn" colour="bad">${line.step}<//><span>${line.note}</span></li>`)}</ul><//>` : ''}</div>
    <div class="sec">${lines.length ? html`<${TypedConfirm} word=${run.environment} deed=${deed} what="Rolling back" why="Everything in the list is undone at once; it can't be cancelled, but it survives a crash and can be tried again." back=${href(`ui/runs/${run.run}`)} go=${begin} />` : ''}<div class="box"><h2>On the shell</h2><${Copy} text=${`batchwright rollback ${run.run}`} /></div></div></div>`;
}
