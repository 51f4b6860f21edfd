// Everything that goes to the service: questions, actions, the live stream; and whether it answers at all.
import { useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { live, root, session, signedOut, store, url } from './store.js';

const ANSWER_MS = 30_000;
const LARGE = 500; // steps of a run from which on the service is spared
const CHECK_MS = 15_000; // between two looks at what is shown, even if the stream says nothing
export const RUNS = 'v1/workflows/batch';
export const one = (run) => `${RUNS}/${encodeURIComponent(run)}`;

/** An answer that is no success: RFC 9457. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || `the service answered ${status}`);
    this.status = status;
    this.code = body.code || '';
    this.hint = body.hint || '';
    this.diagnostics = body.diagnostics || [];
  }
}

/** The answer to what was asked before the page was there, if it was. */
function early(address) {
  const found = globalThis.firstRequests?.get(address);
  if (found) globalThis.firstRequests.delete(address);
  return found;
}

/** Ask the service; gives {data, etag}. Throws Problem, or TypeError if it does not answer. */
export async function ask(path, { method = 'GET', query, body, type = 'application/json', headers = {}, seconds = 0 } = {}) {
  const address = new URL(url(path));
  for (const [key, value] of Object.entries(query || {})) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== '' && each != null) address.searchParams.append(key, each);
  }
  const sent = { Accept: 'application/json', ...headers };
  if (method !== 'GET') sent['Content-Type'] = type;
  const options = { method, headers: sent, signal: AbortSignal.timeout(seconds ? seconds * 1e3 : ANSWER_MS), cache: 'no-store' };
  if (method !== 'GET') options.body = body === undefined ? '{}' : type === 'application/json' && typeof body !== 'string' ? JSON.stringify(body) : body;
  let answer;
  try {
    answer = await (method === 'GET' && early(address.href) || fetch(address, options));
  } catch (error) {
    lost('The service does not answer.');
    throw error;
  }
  if ([502, 504].includes(answer.status)) lost('The proxy says that the service does not answer.');
  else heard();
  const text = await answer.text();
  const json = (answer.headers.get('content-type') || '').includes('json');
  const data = json && text ? JSON.parse(text) : text;
  if (answer.ok) return { data, etag: answer.headers.get('etag') || '' };
  if (answer.status === 401) globalThis.firstRequests?.clear(); // they were refused, too
  if (answer.status === 401 && path !== 'session/code') signedOut.set(data.detail || 'this service asks for a token');
  throw new Problem(answer.status, json ? data : {});
}

/** Become who holds this token, or was given this code; throws Problem. */
export async function signIn(body) {
  const { data } = await ask('session', { method: 'POST', body });
  session.set(data);
  signedOut.set('');
}

// -- is it live
let timer = 0, pause = 1;
export const again = store(0); // counts how often the service was found again
export function heard() {
  const was = live.get();
  if (was.ok) { was.heard = Date.now() / 1e3; return; }
  clearTimeout(timer);
  pause = 1;
  live.set({ ok: true, heard: Date.now() / 1e3, why: '', next: 0 });
  again.set(again.get() + 1);
}
export function lost(why) {
  const was = live.get();
  if (!was.ok && was.next > Date.now() / 1e3) return;
  clearTimeout(timer);
  const wait = pause * (0.75 + Math.random() / 2);
  pause = Math.min(pause * 1.6, 10);
  live.set({ ok: false, heard: was.heard, why, next: Date.now() / 1e3 + wait });
  timer = setTimeout(retry, wait * 1e3);
}
export function retry() {
  clearTimeout(timer);
  live.set({ ...live.get(), next: 0 });
  ask('health/live', { seconds: 5 }).catch(() => {});
}

/** What the service says to a question, asked again every `every` seconds, when `when` changes, and after it was away. `first` is an answer that is there already. */
export function useGet(path, { every = 0, when = 0, query, first, method, seconds } = {}) {
  const asked = path && path + JSON.stringify(query || {}), known = useRef(first);
  const [got, set] = useState(first || {});
  const load = useRef(() => {});
  useEffect(() => {
    if (!path) { set({}); return undefined; }
    let gone = false, busy = false, more = false, clock = 0;
    load.current = async () => {
      if (gone) return;
      if (busy) { more = true; return; }
      busy = true;
      clearTimeout(clock);
      try {
        const answer = await ask(path, { query, method, seconds });
        if (!gone) set({ path, ...answer, error: null, at: Date.now() / 1e3 });
      } catch (error) {
        if (!gone) set((was) => ({ ...(was.path === path ? was : { path }), error }));
      }
      busy = false;
      if (gone) return;
      if (more) { more = false; clock = setTimeout(load.current, 200); }
      else if (every) clock = setTimeout(load.current, every * 1e3);
    };
    if (known.current) known.current = null; // what is known needs no question
    else load.current();
    const off = again.on(() => load.current());
    return () => { gone = true; clearTimeout(clock); off(); };
  }, [asked, every]);
  const fresh = useRef(true);
  useEffect(() => { if (fresh.current) fresh.current = false; else load.current(); }, [when]);
  return { ...got, reload: () => load.current() };
}

/**
 * Follow a run. One tab of a browser holds the stream of a run and passes it on to the others; where the browser offers
 * no locks (a page over plain HTTP from elsewhere), each tab holds its own. `tell` gets {kind, seq, data}.
 */
export function follow(run, tell) {
  const name = `batchwright ${root.pathname} ${run}`;
  const channel = new BroadcastChannel(name);
  const stop = new AbortController();
  const receive = (message) => {
    if (message.kind === 'lost') lost('The service does not answer.');
    else heard();
    tell(message);
  };
  channel.onmessage = (event) => receive(event.data);
  const say = (message) => { channel.postMessage(message); receive(message); };
  const hold = () => new Promise((done) => {
    let source, timer;
    const open = () => {
      source = new EventSource(url(`${one(run)}/progress`));
      source.onopen = () => say({ kind: 'open' });
      source.onerror = () => {
        if (stop.signal.aborted) return;
        say({ kind: 'lost' });
        if (source.readyState !== EventSource.CLOSED) return; // the browser comes back by itself, with Last-Event-ID
        ask('session').catch(() => {}); // refused: says so, and leads to the sign-in
        timer = setTimeout(open, 1000 + Math.random() * 2000);
      };
      for (const kind of ['snapshot', 'progress', 'event', 'end', 'problem']) {
        source.addEventListener(kind, (event) => {
          if (kind === 'end' || kind === 'problem') source.close(); // else the browser would come back at once, for ever
          say({ kind, seq: Number(event.lastEventId) || 0, data: kind === 'event' ? JSON.parse(event.data) : null });
        });
      }
    };
    open();
    stop.signal.addEventListener('abort', () => { clearTimeout(timer); source.close(); done(); });
  });
  if (navigator.locks) navigator.locks.request(name, { signal: stop.signal }, hold).catch(() => {});
  else hold();
  return () => { stop.abort(); channel.close(); };
}

/** Counts up when a run has changed, at most four times a second, or once for a large one; `ended` ones only now and then. */
export function useChanges(run, ended, steps = 0) {
  const [count, set] = useState(0);
  useEffect(() => {
    if (!run) return undefined;
    let timer = 0;
    const bump = () => { timer ||= setTimeout(() => { timer = 0; set((n) => n + 1); }, steps > LARGE ? 1000 : 250); };
    const leave = ended ? () => {} : follow(run, (message) => { if (message.kind !== 'lost') bump(); });
    const check = setInterval(bump, ended ? CHECK_MS / 3 : CHECK_MS);
    return () => { clearTimeout(timer); clearInterval(check); leave(); };
  }, [run, ended, steps > LARGE]);
  return count;
}
