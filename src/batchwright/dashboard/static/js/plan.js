// A workflow before it runs: checked as you type, planned as a difference, and run with exactly the plan that was shown.
import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { RUNS, ask } from './net.js';
import { Copy, Diagnostics, Facts, Numbers, Refused, Section, Some } from './parts.js';
import { go, href, may, session, useQuery } from './store.js';
import { useTitle } from './title.js';
import { dur, many, money, num } from './words.js';

const NICKEL = 'text/x-nickel', TYPES = { json: 'application/json', yaml: 'application/yaml', yml: 'application/yaml', ncl: NICKEL };
const SIGNS = { '-/+': ['Replace', 'bad', 'destroys, then makes anew'], '-': ['Retire', 'bad', 'destroyed, last of all'], '+': ['Create', 'done', ''], '~': ['Update in place', 'retry', ''], '~?': ['Maybe updated', 'retry', 'known when it gets there'], run: ['Programs', 'run', 'run each time'], check: ['Checks', 'run', 'look, and change nothing'], '=': ['Keep', 'wait', 'stays as it is'] };
const PAUSE_MS = 500;

let draft = ''; // what was typed stays while the page does
export function PlanScreen() {
  const [text, setText] = useState(draft), [type, setType] = useState(NICKEL), [checked, setChecked] = useState(null), [planned, setPlanned] = useState(null);
  const [options, setOptions] = useState({ simulate: session.get()?.submits_simulated ?? false, retire: false, reinstall: useQuery('reinstall'), environment: '' }), [busy, setBusy] = useState('');
  const turn = useRef(0), area = useRef();
  useTitle('Plan', null);
  const set = (words) => { draft = words; setText(words); setPlanned(null); };
  useEffect(() => {
    if (!text.trim()) { setChecked(null); return undefined; }
    const mine = ++turn.current;
    const clock = setTimeout(async () => {
      const found = await ask(`${RUNS}/validate`, { method: 'POST', body: text, type }).then(({ data }) => data, (error) => error.diagnostics ? { ok: false, diagnostics: error.diagnostics, error } : null);
      if (mine === turn.current) setChecked(found && { ...found, text });
    }, PAUSE_MS);
    return () => clearTimeout(clock);
  }, [text, type]);
  const query = () => ({ simulate: options.simulate ? 'true' : '', retire: options.retire ? 'true' : '', reinstall: options.reinstall.split(/[\s,]+/).filter(Boolean), environment: options.environment });
  const makePlan = async () => {
    setBusy('plan');
    setPlanned(await ask(`${RUNS}/plan`, { method: 'POST', body: text, type, query: query(), seconds: 120 }).then(({ data }) => ({ answer: data, query: query() }), (error) => ({ error })));
    setBusy('');
  };
  const rehearse = async () => {
    setBusy('rehearse');
    await ask('v1/rehearsals', { method: 'POST', body: text, type, query: { retire: options.retire ? 'true' : '', environment: options.environment }, seconds: 60 }).then(({ data }) => go(href('ui/rehearsal', { id: data.id })), (error) => setPlanned({ error }));
    setBusy('');
  };
  const read = async (file) => {
    if (!file) return;
    setType(TYPES[file.name.split('.').pop().toLowerCase()] || NICKEL);
    set(await file.text());
  };
  const jump = (one) => {
    const from = text.split('\n').slice(0, one.line - 1).reduce((n, line) => n + line.length + 1, 0) + one.column - 1;
    area.current.focus();
    area.current.setSelectionRange(from, from + 1);
  };
  const mistakes = (checked?.diagnostics || []);
  return html`<main class="page fades" id="main"><header><h1>Plan a workflow</h1><p class="q">Paste or upload a file. It is checked as you type; nothing is contacted before you ask for the plan, and nothing is changed before you approve it. What would happen if anything went wrong, <a href=${href('ui/rehearsal')}>a rehearsal</a> shows.</p></header>
    <div class="two"><div class="sec"><div class="row wrap"><label class="btn">Upload a file<input class="sr" type="file" accept=".ncl,.json,.yaml,.yml" onChange=${(e) => read(e.target.files[0])} /></label>
        <label class="row"><span class="q">Language</span><select class="in" value=${type} onChange=${(e) => setType(e.target.value)}><option value=${NICKEL}>Nickel</option><option value="application/json">JSON</option><option value="application/yaml">YAML</option></select></label>
        <span class="grow" /><span class="q" role="status">${!text.trim() ? '' : checked?.text !== text ? 'Checking…' : checked.ok ? 'No mistake found' : many(mistakes.filter((one) => one.severity !== 'warning').length || 1, 'mistake')}</span></div>
      <${Editor} text=${text} set=${set} area=${area} marks=${mistakes} />
      ${checked?.error && !mistakes.length ? html`<${Refused} error=${checked.error} />` : ''}
      ${mistakes.length ? html`<ul class="diags box">${mistakes.map((one) => html`<li><button class="btn bare" disabled=${!one.line} onClick=${() => jump(one)}>${one.line ? `${one.line}:${one.column}` : one.where || 'file'}</button><span class=${one.severity === 'warning' ? 'c-retry' : 'c-bad'}>${one.severity || 'error'}</span><span>${one.message} <span class="q">${one.hint || ''}</span></span></li>`)}</ul>` : ''}</div>
    <div class="sec"><div class="box"><h2>Plan</h2>
      <label class="row"><input type="checkbox" checked=${options.simulate} disabled=${session.get()?.submits_simulated} onChange=${(e) => { setPlanned(null); setOptions({ ...options, simulate: e.target.checked }); }} /> <span>Simulate: nothing real is made</span></label>
      <label class="row"><input type="checkbox" checked=${options.retire} onChange=${(e) => { setPlanned(null); setOptions({ ...options, retire: e.target.checked }); }} /> <span>Retire what the file no longer asks for</span></label>
      <label class="sec"><span class="q">Install again although nothing changed: names of task services or servers, or all</span><input class="in" placeholder="none" value=${options.reinstall} onInput=${(e) => { setPlanned(null); setOptions({ ...options, reinstall: e.target.value }); }} /></label>
      <label class="sec"><span class="q">Environment, if not the file's own</span><input class="in" value=${options.environment} onInput=${(e) => { setPlanned(null); setOptions({ ...options, environment: e.target.value }); }} /></label>
      ${may('operator') ? html`<div class="row"><button class=${'btn' + (planned?.answer ? '' : ' pri')} disabled=${!text.trim() || checked?.ok === false || !!busy} onClick=${makePlan}>${busy === 'plan' ? 'Asking the providers…' : 'Plan it'}</button><button class="btn" disabled=${!text.trim() || checked?.ok === false || !!busy} title="Crashes and faults everywhere, in a simulated world" onClick=${rehearse}>${busy === 'rehearse' ? 'Starting…' : 'Rehearse it'}</button></div>` : html`<p class="q">Planning asks the providers and needs the role operator; you are a ${session.get()?.role}.</p>`}${planned?.answer ? '' : html`<${Copy} text="batchwright plan FILE" />`}</div></div></div>
    ${planned?.error ? html`<${Refused} error=${planned.error} />` : ''}
    ${planned?.answer?.plan ? html`<${Difference} plan=${planned.answer.plan} quotes=${planned.answer.quotes || {}} warnings=${planned.answer.diagnostics} text=${text} type=${type} query=${planned.query} key=${planned.answer.plan.hash} />` : ''}</main>`;
}

/** The numbers of lines as one text, however many there are; only those with a mistake are elements. */
function numbers(lines, bad) {
  const parts = [''];
  for (let n = 1; n <= lines; n++) {
    if (bad.has(n)) parts.push(html`<span class=${bad.get(n).severity || 'error'} title=${bad.get(n).message}>${n}</span>`, '\n');
    else parts[parts.length - 1] += `${n}\n`;
  }
  return parts;
}
/** The text with the number of each line; lines with a mistake are marked. */
function Editor({ text, set, area, marks }) {
  const gutter = useRef(), lines = text.split('\n').length, bad = new Map(marks.filter((one) => one.line).map((one) => [one.line, one]));
  return html`<div class="editor"><div class="gutter" ref=${gutter} aria-hidden="true">${numbers(lines, bad)}</div>
    <textarea class="mono" ref=${area} aria-label="The workflow file" spellcheck="false" wrap="off" rows="16" value=${text} onInput=${(e) => set(e.target.value)} onScroll=${(e) => { gutter.current.scrollTop = e.target.scrollTop; }} placeholder="{ batch_workflow = { name = …, version = …, operations = [ … ] } }" /></div>`;
}

function Difference({ plan, quotes, warnings, text, type, query }) {
  const [known, setKnown] = useState(false), [busy, setBusy] = useState(false), [error, setError] = useState(null);
  const groups = Object.keys(SIGNS).map((sign) => [sign, plan.steps.filter((step) => step.symbol === sign)]).filter(([, list]) => list.length);
  const changes = groups.filter(([sign]) => sign !== '=').length, gone = groups.filter(([sign]) => sign === '-/+' || sign === '-').flatMap(([, list]) => list);
  const run = async () => {
    setBusy(true);
    try {
      const { data } = await ask(`${RUNS}/submit`, { method: 'POST', body: text, type, query: { ...query, plan_hash: plan.hash }, headers: { 'Idempotency-Key': crypto.randomUUID?.() || String(Math.random()).slice(2) + Date.now() }, seconds: 120 });
      go(href(`ui/runs/${data.run}`));
    } catch (refusal) { setError(refusal); setBusy(false); }
  };
  const price = Object.values(quotes).map((quote) => money(quote.per_hour * 730, quote.currency)).join(' + ');
  return html`<section class="sec big-gap" aria-label="The plan"><header class="row wrap"><h1>Plan for ${plan.environment || plan.workflow}</h1><span class="q">${plan.workflow} ${plan.version} · <span class="mono">${plan.hash}</span>${plan.simulated ? ' · simulated' : ''}</span></header>
    <${Numbers} items=${[...groups.map(([sign, list]) => [num(list.length), SIGNS[sign][0].toLowerCase(), SIGNS[sign][1], sign.length < 4 ? sign : '']), price && [price, 'a month, at most'], [dur(plan.estimate.least), `at least, ${plan.parallel_limit} at a time`]]} />
    <div class="two"><div class="sec big-gap">${groups.filter(([sign]) => sign !== '=').map(([sign, list]) => html`<${Section} title=${SIGNS[sign][0]} about=${SIGNS[sign][2]}><${Some} className="box flush" items=${list} draw=${(step) => html`<li key=${step.id}><${Item} step=${step} sign=${sign} open=${list.length < 4} /></li>`} /><//>`)}
        ${groups.filter(([sign]) => sign === '=').map(([, list]) => html`<details class="it keep"><summary><span class="caret">▸</span><span class="dif c-wait">=</span><span class="b">Keep ${num(list.length)}</span><span class="q">they stay as they are</span></summary><p class="df-text">${list.slice(0, 200).map((step) => step.subject && step.server ? `${step.name} on ${step.server}` : step.name || step.id).join(', ')}</p></details>`)}
        <${Section} title="Order" about=${many(plan.operations.length, 'operation')}><${Some} className="box" items=${plan.operations} draw=${(op) => html`<li class="row wrap" key=${op.id}><b>${op.id}</b><span class="q">${op.type.replaceAll('_', ' ')}, ${many(op.steps, 'step')}${op.dependencies.length ? `, after ${op.dependencies.map((each) => each.id || each).join(', ')}` : ''}${op.conditions.length ? `; ${op.conditions.join('; ')}` : ''}</span></li>`} /><//></div>
      <div class="sec"><div class=${'box' + (gone.length ? ' loud' : '')}><h2>${changes ? 'Approve and run' : 'Nothing to change'}</h2>
        ${changes ? html`<p>A yes to plan <span class="mono">${plan.hash.slice(0, 8)}</span> and to no other. If the accounts look different when it starts, the run is refused with <code>plan-changed</code>.</p>
          ${gone.length ? html`<p class="c-bad b">${many(gone.length, 'thing is', 'things are')} destroyed: ${gone.slice(0, 5).map((step) => step.name || step.id).join(', ')}${gone.length > 5 ? ` and ${gone.length - 5} more` : ''}.</p><label class="row top"><input type="checkbox" checked=${known} onChange=${(e) => setKnown(e.target.checked)} /> <span>I know that their data is lost</span></label>` : ''}
          ${may('operator') ? html`<div class="row"><button class=${'btn pri' + (gone.length ? ' dan' : '')} disabled=${busy || (gone.length && !known)} onClick=${run}>${plan.simulated ? 'Approve and simulate' : 'Approve and run'}</button></div>` : ''}
          <${Refused} error=${error} />` : html`<p>The plan keeps everything. A run would do nothing, so there is none to approve.</p>`}</div>
        ${warnings.length || plan.warnings.length ? html`<div class="box"><h2>Look at this</h2><${Diagnostics} items=${warnings.length ? warnings : plan.warnings} /></div>` : ''}
        <div class="box"><h2>On the shell</h2><${Copy} text=${`batchwright run FILE --plan-hash ${plan.hash}${plan.simulated ? ' --simulate' : ''}${query.retire ? ' --retire' : ''}${query.reinstall.map((name) => ` --reinstall ${name}`).join('')}${query.environment ? ` --env ${query.environment}` : ''}`} /></div></div></div></section>`;
}

function Item({ step, sign, open }) {
  const title = step.subject && step.server && step.name !== step.server ? `${step.name} on ${step.server}` : step.name || step.id;
  return html`<details class="it" open=${open && step.changes.length > 0}><summary><span class="caret" aria-hidden="true">▸</span><span class=${'dif c-' + SIGNS[sign][1]}>${sign.length < 4 ? sign : '·'}</span><span class="el b" title=${step.id}>${title}</span><span class="el q long">${step.about || step.does}</span><span class="q nw hide-s">${step.provider}</span></summary>
    <${Facts} items=${[...step.changes.map((change) => [change.field, html`${change.from != null ? html`<del>${change.from}</del> to ` : ''}<ins>${change.known === false ? 'known when it gets there' : change.to ?? 'nothing'}</ins>${change.note ? html` <span class="q">${change.note}</span>` : ''}`]), ['does', step.does], ['undo', step.undoes || 'nothing to undo'], ['step', html`<code>${step.id}</code>`]]} /></details>`;
}
