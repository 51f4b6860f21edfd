// What several parts of the page share: the address as state, who is signed in, whether the page is live.
import { useEffect, useLayoutEffect, useRef, useState } from '../vendor/htm-preact.js';

/** The root of the service, under whatever prefix a proxy puts it. */
export const root = new URL(import.meta.url.slice(0, import.meta.url.lastIndexOf('/ui/static/') + 1));
/** A file of the page. */
export const file = (name) => new URL(`../${name}`, import.meta.url).href;
export const url = (path) => new URL(path, root).href;

/** A value that parts of the page look at: `get`, `set`, `on`. */
export function store(value) {
  const ears = new Set();
  return {
    get: () => value,
    set(next) {
      if (next === value) return;
      value = next;
      for (const ear of [...ears]) ear(value);
    },
    on(ear) { ears.add(ear); return () => ears.delete(ear); },
  };
}
export function useStore(one) {
  const [, redraw] = useState(0), seen = one.get(); // never a copy: what is typed right after drawing would be lost
  useLayoutEffect(() => {
    if (one.get() !== seen) redraw((n) => n + 1);
    return one.on(() => redraw((n) => n + 1));
  }, [one]);
  return seen;
}

// -- the address: path below the root, and a query that holds the whole view
const read = () => ({ path: location.pathname.slice(root.pathname.length), query: new URLSearchParams(location.search) });
export const place = store(read());
const KEPT = ['t', 'theme'];
addEventListener('popstate', () => place.set(read()));

/** The address of a part of the page; the reader's settings stay in it. */
export function href(path, query = {}) {
  const q = new URLSearchParams();
  for (const key of KEPT) if (place.get().query.has(key)) q.set(key, place.get().query.get(key));
  for (const [key, value] of Object.entries(query)) if (value) q.set(key, value);
  return url(path) + (q.size ? '?' + q : '');
}
/** The address of an environment's screen; `word` is NAME, or simulated:NAME. */
export const environmentPath = (word) => href(`ui/environments/${word.split(':').pop()}`, { simulated: word.startsWith('simulated:') ? 'true' : '' });
export function go(address) {
  history.pushState(null, '', address);
  place.set(read());
  scrollTo(0, 0);
}
/** Change what the query holds, without a new entry in the history. */
export function put(changes) {
  const { query } = read();
  if ('sel' in changes) query.delete('line'); // of the log of the step that was selected before
  for (const [key, value] of Object.entries(changes)) value == null || value === '' ? query.delete(key) : query.set(key, value);
  history.replaceState(null, '', location.pathname + (query.size ? '?' + query : ''));
  place.set(read());
}
export const useQuery = (key) => useStore(place).query.get(key) || '';
export const useTimeMode = () => useQuery('t') || 'UTC';

export const session = store(null); // who is signed in; null: not known yet
export const live = store({ ok: true, heard: Date.now() / 1e3, why: '', next: 0 });
export const signedOut = store(''); // why a sign-in is needed; '' if it is not
export const picked = store(null); // the selected step as its card has it: {step, operation, begin, end}
export const notice = store(null); // an answer to an action: {title, text}

const ROLES = ['viewer', 'proposer', 'operator', 'admin'];
export const may = (role) => ROLES.indexOf(session.get()?.role) >= ROLES.indexOf(role);

/** Keys of a part of the page, while no dialog is open and nothing is typed. A deed that gives false leaves the key to others; those that are `first` are asked before. */
export function useKeys(deeds, first = false) {
  const now = useRef();
  now.current = deeds;
  useEffect(() => {
    const hear = (event) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]') || /INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) return;
      if (Object.hasOwn(now.current, event.key) && now.current[event.key](event) !== false) event.preventDefault();
    };
    addEventListener('keydown', hear, first);
    return () => removeEventListener('keydown', hear, first);
  }, []);
}
