// A rehearsal that the service carries out, or the report that `batchwright rehearse --json` wrote: what was found, and where.
import { html, useEffect, useErrorBoundary, useState } from '../vendor/htm-preact.js';
import { ask } from './net.js';
import { Copy, Diagnostics, Facts, Mark, Numbers, Refused, Section, Table } from './parts.js';
import { go, href, useQuery } from './store.js';
import { useTitle } from './title.js';
import { dur, many, num } from './words.js';

const LEVELS = { error: ['error', 'cross', 'bad'], warning: ['warning', 'warn', 'retry'], note: ['note', 'dash', 'wait'] };
const OUTCOMES = [['same', 'done', 'as without the fault'], ['rolled_back', 'undo', 'rolled back'], ['help', 'ask', 'a person is needed'], ['stuck', 'doubt', 'stuck'], ['broken', 'bad', 'broken']];
const SIGNS = { starts: ['tri', 'run'], dies: ['nolink', 'bad'], ends: ['check', 'done'], suspended: ['bars', 'retry'], fault: ['warn', 'bad'], help: ['bubble', 'ask'] };
const ASK_MS = 1000; // between two questions how far it is; the service ends a rehearsal that nobody asks for
const CELLS_MOST = 200, FINDINGS_MOST = 200, FEW = 7; // operations that fit beside each other
let kept = null; // the report stays while the page does

export function RehearsalScreen() {
  const id = useQuery('id'), [report, set] = useState(id ? null : kept), [wrong, setWrong] = useState('');
  const [, again] = useErrorBoundary(() => { // a report in which something has another shape
    kept = null;
    set(null);
    setWrong('This is not the report of a rehearsal, or that of another version.');
    again();
  });
  useTitle(report ? `Rehearsal of ${report.workflow}` : 'Rehearsal', report ? (report.findings.some((one) => one.level === 'error') ? 'Failed' : report.ok ? 'Completed' : 'Degraded') : null);
  const take = (found) => {
    try {
      kept = found();
      set(kept);
      setWrong('');
    } catch (error) { setWrong(error.message); }
  };
  const paste = (text) => { take(() => read(text)); if (id) go(href('ui/rehearsal')); };
  const file = async (one) => { if (one) paste(await one.text()); };
  const drop = (event) => { event.preventDefault(); file(event.dataTransfer.files[0]); };
  return html`<main class="page fades" id="main" onDragOver=${(event) => event.preventDefault()} onDrop=${drop}><header><div class="row wrap"><h1>${report ? `Rehearsal of ${report.workflow}` : 'Rehearsal'}</h1><span class="q grow">${report ? `${report.file}, seed ${report.seed}; nothing real was contacted` : 'what would happen to a workflow if anything went wrong'}</span>
      <label class="btn">${report ? 'Another report' : 'Open a report'}<input class="sr" type="file" accept=".json,application/json" onChange=${(event) => file(event.target.files[0])} /></label></div><p class="c-bad" role="alert">${wrong}</p></header>
    ${id && !report ? html`<${Underway} id=${id} done=${(one) => take(() => shaped(one))} />` : report ? html`<${Report} report=${report} />` : html`<div class="two"><div class="sec"><p>Drop the report here, open it, or paste it. It stays in this browser.</p><textarea class="in mono paste" aria-label="The report, as JSON" rows="8" spellcheck="false" placeholder=${'{ "file": …, "findings": [ … ] }'} onInput=${(event) => event.target.value.trim() && paste(event.target.value)} /></div>
      <div class="box"><h2>On the shell</h2><p class="q">Every crash, lost answer and full zone, in a simulated world; nothing is changed.</p><${Copy} text="batchwright rehearse FILE" /><p class="q">For this page:</p><${Copy} text="batchwright rehearse FILE --json > rehearsal.json" /><p>Without a shell: <a href=${href('ui/plan')}>plan a workflow</a>, and rehearse it there.</p></div></div>`}</main>`;
}

/** A rehearsal at the service: how far it is, until `done` gets its report. */
function Underway({ id, done }) {
  const [told, set] = useState(null), [error, setError] = useState(null), path = `v1/rehearsals/${encodeURIComponent(id)}`;
  useEffect(() => {
    let timer = 0, gone = false;
    const look = async () => {
      try {
        const { data } = await ask(path);
        if (gone) return;
        if (data.report) { done(data.report); return; }
        set(data);
        if (data.state !== 'running') return;
      } catch (refusal) {
        if (gone) return;
        setError(refusal);
        if (refusal.status) return; // else the service does not answer, which may pass
      }
      timer = setTimeout(look, ASK_MS);
    };
    look();
    return () => { gone = true; clearTimeout(timer); };
  }, [id]);
  const cancel = () => ask(path, { method: 'DELETE' }).then(({ data }) => set(data), setError);
  const problem = told?.problem;
  return html`<div class="box sec"><h2>${told ? `Rehearsing ${told.workflow}` : 'Rehearsal'}</h2>
    ${told?.state === 'running' ? html`<p role="status">${many(told.runs, 'run')} so far, after ${dur(told.seconds)}; it explores for ${dur(told.most_seconds)} at most.</p><progress class="grow" max=${told.most_seconds} value=${told.seconds} aria-label="Time used" /><p class="q">It ends when this page is left.</p><div class="row"><button class="btn" onClick=${cancel}>Cancel</button></div>` : ''}
    ${told?.state === 'cancelled' ? html`<p>It was cancelled after ${many(told.runs, 'run')}.</p>` : ''}
    ${problem ? html`<p class="c-bad" role="alert">${problem.message} <span class="q">${problem.hint || ''}</span></p>${problem.diagnostics.length ? html`<${Diagnostics} items=${problem.diagnostics} />` : ''}` : ''}
    <${Refused} error=${error} />
    ${error || (told && told.state !== 'running') ? html`<p><a href=${href('ui/plan')}>Start another one</a></p>` : ''}</div>`;
}

/** The report in this text. Throws Error with what is wrong. */
function read(text) {
  try { return shaped(JSON.parse(text)); } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new Error('This is not JSON. Write the report with: batchwright rehearse FILE --json > rehearsal.json');
  }
}

/** The same report, if it is one. Throws Error. */
function shaped(found) {
  if (found?.error?.message) throw new Error(`It was not rehearsed: ${found.error.message}`);
  const lists = ['findings', 'matrix', 'faults', 'not_explored', 'cannot_tell'], objects = ['duration', 'coverage', 'self_check', 'cost'];
  const missing = [...lists.filter((name) => !Array.isArray(found?.[name])), ...objects.filter((name) => typeof found?.[name] !== 'object' || !found[name])];
  if (missing.length || !found.findings.every((one) => LEVELS[one?.level] && Array.isArray(one.about)) || !found.matrix.every((row) => Array.isArray(row?.cells))) throw new Error(`This is not the report of a rehearsal${missing.length ? `: it has no ${missing.join(', ')}` : ''}.`);
  return found;
}

function Report({ report }) {
  const of = (level) => report.findings.filter((one) => one.level === level), { coverage: tried, self_check: check, duration } = report;
  const share = (done, all) => `${num(done)} of ${num(all)}`;
  return html`<p class="say">${report.headline}</p>
    <${Numbers} items=${[...Object.entries(LEVELS).map(([level, [word, , colour]]) => [num(of(level).length), of(level).length === 1 ? word : `${word}s`, of(level).length ? colour : '']), [num(tried.runs), 'runs'], [num(tried.crashes), 'crashes']]} />
    ${check.runs > 0 ? html`<p class="q"><${Mark} shape="check" colour="done">It can be believed:<//> it planted a bug in itself (${check.meaning.replace(/\.$/, '')}) and found it after ${many(check.runs, 'run')}.</p>` : html`<div class="box loud"><p class="b">It planted a bug in itself and did not find it, so it proves nothing.</p><p>${check.meaning}</p></div>`}
    <div class="two"><div class="sec big-gap">
      ${Object.keys(LEVELS).filter((level) => of(level).length).map((level) => html`<${Section} title=${`${LEVELS[level][0][0].toUpperCase()}${LEVELS[level][0].slice(1)}s`} about=${level === 'note' ? 'faults that by their nature need a person' : ''}><div class="box flush">${of(level).slice(0, FINDINGS_MOST).map((one, i) => html`<${Finding} one=${one} open=${level !== 'note' && i < 3} />`)}</div><//>`)}
      ${report.findings.length ? '' : html`<p><${Mark} shape="check" colour="done">Nothing was found.<//></p>`}
      <${Matrix} report=${report} /></div>
    <div class="sec"><div class="box"><h2>What was tried</h2><${Facts} items=${[['faults at calls', share(tried.kinds_done, tried.kinds)], ['while recovering', share(tried.nested_done, tried.nested)], ['alike calls', share(tried.alike_done, tried.alike)], ['by chance', tried.chance ? many(tried.chance, 'run') : ''], ['took', dur(tried.seconds)]]} /></div>
      <div class="box"><h2>Time and cost</h2><${Facts} items=${[['undisturbed', dur(duration.undisturbed)], ['usually, with faults', dur(duration.median)], ['nine of ten', dur(duration.p90)], ['at worst', dur(duration.most)], ...Object.entries(report.cost).flatMap(([currency, spread]) => [['cost', `${price(spread.undisturbed, currency)}; at worst ${price(spread.most, currency)}`]])]} /></div>
      ${list('Not tried', report.not_explored)}${list('What a simulation cannot tell', report.cannot_tell)}
      <div class="box"><h2>On the shell</h2><${Copy} text=${`batchwright rehearse ${quoted(report.file)} --seed ${quoted(report.seed)}`} /></div></div></div>`;
}
const quoted = (word) => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${`${word}`.replaceAll("'", `'\\''`)}'`; // one word of the shell, whatever a report says
const list = (title, lines) => lines.length ? html`<div class="box"><h2>${title}</h2><ul class="dots">${lines.map((line) => html`<li>${line}</li>`)}</ul></div>` : '';
const price = (amount, currency) => /^[A-Z]{3}$/.test(currency) ? new Intl.NumberFormat('en-GB', { style: 'currency', currency, maximumSignificantDigits: 2 }).format(amount) : `${amount} ${currency}`;

function Finding({ one, open }) {
  const [, shape, colour] = LEVELS[one.level], place = one.line ? `${one.file}:${one.line}:${one.column}` : one.file;
  return html`<details class="it fi" open=${open}><summary><span class="caret" aria-hidden="true">▸</span><span class=${`st c-${colour}`}><${Mark} shape=${shape} colour=${colour}><span class="sr">${one.level}</span><//></span><span class="brk"><b>${one.title}</b></span><span class="q nw hide-s">${many(one.runs, 'run')}</span></summary>
    <div class="sec fi-in"><${Facts} items=${[['a person would', one.do], ['write instead', one.instead], ['in the file', place && html`<code>${place}</code>`], ['about', one.about.filter(Boolean).join(', ')]]} />
      <${Copy} text=${one.repeat} />
      ${one.timeline?.length ? html`<ol class="chain" aria-label="The simplest of these runs">${one.timeline.map((moment) => html`<li><span class="f n">${dur(moment.at)}</span>${SIGNS[moment.mark] ? html`<${Mark} shape=${SIGNS[moment.mark][0]} colour=${SIGNS[moment.mark][1]}><span class="sr">${moment.mark}</span><//>` : html`<span class="c-wait" aria-hidden="true">·</span>`}<span class="brk"><span class="q">${moment.process ? `process ${moment.process}` : 'the world'}</span> ${moment.what}</span></li>`)}</ol>` : ''}</div></details>`;
}

/** How the runs with each fault ended, per operation. */
function Matrix({ report }) {
  const fired = report.faults.filter((one) => report.matrix.some((row) => row.cells.some((cell) => cell.fault === one.fault)));
  const found = (row, fault) => { const cell = row.cells.find((each) => each.fault === fault.fault); return cell ? html`<${Cell} cell=${cell} />` : ''; }, few = report.matrix.length <= FEW;
  if (few) return html`<${Section} title="Each fault in each operation"><${Table} label="Each fault in each operation" heads=${[['Fault', 'nw'], ...report.matrix.map((row) => [row.operation, 'nw']), ['What it is', '']]} rows=${fired.map((fault) => [html`<b>${fault.fault.replaceAll('_', ' ')}</b>`, ...report.matrix.map((row) => found(row, fault)), html`<span class="q">${fault.meaning}</span>`])} /><${Key} /><//>`;
  const rows = report.matrix.slice(0, CELLS_MOST).map((row) => [html`<b>${row.operation}</b> <span class="q">${row.type.replaceAll('_', ' ')}</span>`, ...fired.map((fault) => found(row, fault))]);
  return html`<${Section} title="Each fault in each operation"><${Table} label="Each fault in each operation" heads=${[['Operation', 'nw'], ...fired.map((one) => [one.fault.replaceAll('_', ' '), 'nw'])]} rows=${rows} />
    <${Key} />
    <details><summary class="btn bare">What the faults are</summary><${Facts} items=${report.faults.map((one) => [one.fault.replaceAll('_', ' '), `${one.meaning}${one.fired ? `; ${many(one.fired, 'time')}` : '; it did not come about'}`])} /></details><//>`;
}
const Key = () => html`<p class="legend keyed">${OUTCOMES.map(([, colour, word]) => html`<span class="row"><span class="strip sm one"><i class=${'k-' + colour} style=${{ flex: '1' }} /></span>${word}</span>`)}</p>`;
function Cell({ cell }) {
  const there = OUTCOMES.filter(([key]) => cell[key]), label = `${many(cell.runs, 'run')}: ${there.map(([key, , word]) => `${num(cell[key])} ${word}`).join(', ')}`;
  return html`<span class="row"><span class="strip sm tiny" role="img" aria-label=${label} title=${label}>${there.map(([key, colour]) => html`<i class=${'k-' + colour} style=${{ flex: `${cell[key]} 1 0` }} />`)}</span><span class="q t1">${num(cell.runs)}</span></span>`;
}
