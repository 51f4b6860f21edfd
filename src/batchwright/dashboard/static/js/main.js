// The page: its bar, the screen that the address names, keys, and signing in.
import { html, render, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { Later, load, loadAll } from './modules.js';
import { RUNS, Problem, ask, heard, retry, signIn, useGet } from './net.js';
import { Dialog, Icon, Time } from './parts.js';
import { go, href, live, notice, place, put, root, session, signedOut, useQuery, useStore, useTimeMode } from './store.js';
import { MODES, dur, now } from './words.js';

const PAGES = [['', 'Runs'], ['ui/approvals', 'Approvals'], ['ui/plan', 'Plan'], ['ui/servers', 'Servers'], ['ui/taskservs', 'Task services'], ['ui/service', 'Service']];

// -- which screen
function screenOf(path) {
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent);
  if (!parts.length) return ['home', 'Home', {}, ''];
  const [, what, word, more, ...rest] = parts;
  if (what === 'runs' && word && !more) return ['run', 'RunScreen', { run: word, key: word }, ''];
  if (what === 'runs' && more === 'rollback') return ['rollback', 'RollbackScreen', { run: word, key: word }, ''];
  if (what === 'runs' && more === 'checks') return ['checks', 'ChecksScreen', { run: word, key: word }, ''];
  if (['destroy', 'drift'].includes(what)) return [what, { destroy: 'DestroyScreen', drift: 'DriftScreen' }[what], { key: place.get().query.get('environment') || '' }, ''];
  if (what === 'runs' && more === 'steps' && rest.length) return ['step', 'StepScreen', { run: word, step: rest.join('/'), key: parts.join('/') }, ''];
  if (what === 'environments' && word) return ['servers', 'EnvironmentScreen', { name: parts.slice(2).join('/'), key: parts.join('/') }, ''];
  const screen = { approvals: 'Approvals', plan: 'PlanScreen', servers: 'Servers', service: 'Service', taskservs: 'Taskservs', rehearsal: 'RehearsalScreen' }[what];
  return screen ? [what, screen, {}, 'ui/' + what] : ['', '', {}, null];
}
const Nowhere = () => html`<main class="page" id="main"><h1>There is no such page</h1><p>The address names nothing that this service shows. <a href=${href('')}>All runs</a></p></main>`;

// -- the bar
function Bar({ here }) {
  const nav = useRef();
  useEffect(() => nav.current.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' }), [here]); // on a phone they do not all fit
  const me = useStore(session), is = useStore(live), mode = useTimeMode(), theme = useQuery('theme');
  const dark = theme ? theme === 'dark' : matchMedia('(prefers-color-scheme:dark)').matches;
  const next = MODES[(MODES.indexOf(mode) + 1) % MODES.length];
  return html`<a class="skip" href="#main">To the content</a><header class="bar">
    <a class="mark" href=${href('')} aria-label="Batchwright, all runs"><svg viewBox="0 0 18 18" aria-hidden="true"><path d="M1 2h9v3.4H1zM5 7.3h12v3.4H5zM1 12.6h7V16H1zM10 12.6h3V16h-3z" /></svg><span>Batchwright</span></a>
    <nav aria-label="Pages" ref=${nav}>${PAGES.map(([path, word]) => html`<a href=${href(path)} aria-current=${here === path ? 'page' : undefined}>${word}</a>`)}</nav>
    <span class="grow" />
    <button class="btn bare opt q" onClick=${() => open.set('palette')}>Find <kbd>Ctrl K</kbd></button>
    <button class="btn bare opt" title="Times (t)" aria-label=${`Times in ${mode}; change to ${next}`} onClick=${turnTime}>${mode}</button>
    <button class="btn bare opt" onClick=${() => put({ theme: dark ? 'light' : 'dark' })}>${dark ? 'Light' : 'Dark'}</button>
    <span id="live" class=${'st t2' + (is.ok ? '' : ' b')}><${Icon} shape=${is.ok ? 'tri' : 'nolink'} /><span>${is.ok ? 'live' : 'not live'}</span></span>
    <span class="q opt t2 el">${me ? `${me.name} · ${me.role}` : ''}</span>
    ${me?.signed_in ? html`<button class="btn bare opt" onClick=${signOut}>Sign out</button>` : ''}
  </header>`;
}
function turnTime() {
  const mode = place.get().query.get('t') || 'UTC', next = MODES[(MODES.indexOf(mode) + 1) % MODES.length];
  put({ t: next === 'UTC' ? null : next });
}
async function signOut() {
  await ask('session', { method: 'DELETE', body: '' }).catch(() => {});
  session.set(null);
  signedOut.set('You have signed out.');
}

function Banner() {
  const is = useStore(live), [, tick] = useState(0);
  useEffect(() => {
    if (is.ok) return undefined;
    const clock = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(clock);
  }, [is.ok]);
  document.body.classList.toggle('stale', !is.ok);
  return html`<div role="status" id="banner">${is.ok ? '' : html`<div class="banner"><${Icon} shape="nolink" />
    <span><b>Not live since <${Time} at=${is.heard} />.</b> ${is.why} What you see is ${dur(now() - is.heard)} old; runs go on without this page.
    ${is.next > now() ? ` Next try in ${dur(Math.ceil(is.next - now()))}.` : ' Trying now.'}</span><button class="btn" onClick=${retry}>Try now</button></div>`}</div>`;
}
function Notice() {
  const said = useStore(notice);
  useEffect(() => {
    if (!said || said.bad) return undefined;
    const clock = setTimeout(() => notice.set(null), 8000);
    return () => clearTimeout(clock);
  }, [said]);
  return html`<div role="alert">${said ? html`<div class=${'note' + (said.bad ? ' bad' : '')}><span><b>${said.title}</b> ${said.text}</span><button class="btn bare" onClick=${() => notice.set(null)}>Close</button></div>` : ''}</div>`;
}

// -- go to anything, and the keys
const open = { ears: new Set(), set(what) { for (const ear of this.ears) ear(what); } };
function Palette({ close }) {
  const [words, set] = useState('');
  const runs = useGet(RUNS, { query: { limit: 200 } }), envs = useGet('v1/environments');
  const all = [...[...PAGES, ['ui/rehearsal', 'Rehearsal report']].map(([path, word]) => [word, 'page', href(path)]),
    ...(envs.data?.items || []).map((one) => [one.name, 'environment', href(`ui/environments/${one.name}`, { simulated: one.simulated ? 'true' : '' })]),
    ...(runs.data?.items || []).map((one) => [`${one.run} ${one.environment}`, `run, ${one.status}`, href(`ui/runs/${one.run}`)])];
  const found = all.filter(([word]) => word.toLowerCase().includes(words.toLowerCase())).slice(0, 12);
  const enter = (event) => { if (event.key === 'Enter' && found.length) { close(); go(found[0][2]); } };
  return html`<${Dialog} title="Go to" onClose=${close}><input class="in full" aria-label="Find a page, run or environment" placeholder="A page, run or environment" value=${words} onInput=${(e) => set(e.target.value)} onKeyDown=${enter} autofocus />
    <ul class="pal">${found.map(([word, kind, to]) => html`<li class="row"><a class="grow el" href=${to} onClick=${close}>${word}</a><span class="q">${kind}</span></li>`)}</ul>
    ${found.length ? '' : html`<p class="q">Nothing is called like that.</p>`}<//>`;
}

addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === 'k') { event.preventDefault(); open.set('palette'); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (/INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) { if (event.key === 'Escape') event.target.blur(); return; }
  if (event.key === '?') open.set('help');
  else if (event.key === 't') turnTime();
  else if (event.key === '/' && document.querySelector('[data-find]')) document.querySelector('[data-find]').focus();
  else return;
  event.preventDefault();
});
addEventListener('click', (event) => { // links within the page do not load it again
  const link = event.target.closest?.('a[href]');
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || link.target || link.hasAttribute('download')) return;
  const to = new URL(link.href), path = to.pathname.slice(root.pathname.length);
  if (to.origin !== root.origin || !to.pathname.startsWith(root.pathname) || (path && !path.startsWith('ui/')) || to.hash || path === 'ui/plain') return;
  event.preventDefault();
  go(to.href);
});

function App() {
  const at = useStore(place), why = useStore(signedOut), me = useStore(session), [dialog, setDialog] = useState('');
  useEffect(() => { open.ears.add(setDialog); return () => open.ears.delete(setDialog); }, []);
  const theme = at.query.get('theme');
  useEffect(() => { if (theme) document.documentElement.dataset.theme = theme; else delete document.documentElement.dataset.theme; }, [theme]);
  const [module, name, props, here] = screenOf(at.path);
  return html`<div class="cl"><${Bar} here=${here} /><${Banner} /><${Notice} /></div>
    <div class="cl">${why ? html`<${Later} module="sign_in" name="SignIn" props=${{ why }} />` : me || (module === 'run' && !code) /* what it asks need not wait */ ? module ? html`<${Later} module=${module} name=${name} props=${props} />` : html`<${Nowhere} />` : ''}</div>
    ${dialog === 'help' ? html`<${Later} module="help" name="Help" props=${{ close: () => setDialog('') }} />` : dialog === 'palette' ? html`<${Palette} close=${() => setDialog('')} />` : ''}`;
}

const code = new URLSearchParams(location.hash.slice(1)).get('code');
async function begin() {
  render(html`<${App} />`, document.body);
  if (code) {
    history.replaceState(null, '', location.pathname + location.search); // a code is for one use, and for no history
    await signIn({ code }).catch((error) => signedOut.set(error.message));
    if (session.get()) return;
  }
  await who();
}
async function who() {
  try {
    session.set((await ask('session')).data);
    heard();
  } catch (error) {
    if (!(error instanceof Problem)) setTimeout(who, 1500);
  }
}
load(screenOf(place.get().path)[0] || 'home');
begin();
(globalThis.requestIdleCallback || setTimeout)(() => setTimeout(loadAll, 3000)); // so that a service that is away keeps nobody from them
