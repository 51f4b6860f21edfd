// What a step said, and all events of a run: long lists of lines, of which only a part is held.
import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { ask, one, useGet } from './net.js';
import { Copy, Loading, Time, VirtualList } from './parts.js';
import { put, url, useQuery } from './store.js';
import { STATES, many, num } from './words.js';

const LINES = 500; // of a log that are shown at a time
const HEADS = { step_started: 'started', step_created: 'created', step_retrying: 'retrying', step_failed: 'failed', step_succeeded: 'succeeded', step_in_doubt: 'in_doubt', driver_started: 'in_doubt', undo_started: 'undoing', step_undone: 'undone', undo_failed: 'undo_failed' };
/** The output of a step, attempt by attempt; it is searched by the service, and its end is shown first. */
export function Log({ run, step, when }) {
  const line = Number(useQuery('line')), [find, set] = useState(''), [after, setAfter] = useState(line ? Math.max(0, line - LINES / 2) : null), at = useQuery('at');
  const last = useRef(0), from = after ?? Math.max(0, last.current - LINES);
  const got = useGet(`${one(run)}/log`, { query: { step, find, at, limit: LINES, after: find ? '' : from || '' }, when: at ? 0 : when }), data = got.data, lines = data?.items || [];
  if (data && !find) last.current = data.total;
  const place = line ? lines.findIndex((each) => each.n === line) : -1, show = (each) => put({ line: each && each.n !== line ? each.n : '' });
  const next = (event) => { if (event.key === 'Enter') show(lines.find((each) => each.match && each.n > line) || lines.find((each) => each.match)); };
  const save = html`<a class="btn bare opt" href=${url(`${one(run)}/logs?step=${encodeURIComponent(step)}`)} target="_blank" rel="noopener">As text</a>`;
  return html`<div class="ph"><input class="in" type="search" placeholder="Find in this log" aria-label="Find in this log" value=${find} onInput=${(e) => set(e.target.value)} onKeyDown=${next} /><span class="q t2 grow lab" role="status">${!data ? '' : find ? `${num(data.matching)} of ${many(data.total, 'line')}` : many(data.total, 'line')}</span>
      ${!find && from > 0 ? html`<button class="btn bare" onClick=${() => setAfter(Math.max(0, from - LINES))}>Earlier</button>` : ''}${after !== null && after + LINES < last.current ? html`<button class="btn bare" onClick=${() => { setAfter(null); show(); }}>The end</button>` : ''}${lines.length ? save : ''}</div>
    <${Loading} got=${got}>${lines.length ? html`<${VirtualList} className="log" role="log" label=${`Log of ${step}`} count=${lines.length} height=${20} selected=${place >= 0 ? place : after === null && !find && !line ? lines.length - 1 : -1} draw=${(i, style) => html`<${Line} line=${lines[i]} find=${find} style=${style} picked=${lines[i].n === line} show=${show} key=${lines[i].n} />`} />${place >= 0 ? html`<${Copy} text=${lines[place].text} label=${`Line ${line}`} />` : ''}`
    : html`<div class="empty"><p>${find ? 'No line has that.' : 'Nothing has been said yet.'}</p><p class="q">${find ? `${many(data?.total || 0, 'line')} in all.` : `The log of ${step} begins when it begins.`}</p></div>`}<//>`;
}
function Line({ line, find, style, picked, show }) {
  const head = line.type !== 'step_output', colour = head && HEADS[line.type] ? STATES[HEADS[line.type]][2] : 'wait', at = find && line.match ? line.text.toLowerCase().indexOf(find.toLowerCase()) : -1;
  const text = at < 0 ? line.text : html`${line.text.slice(0, at)}<mark class="mk">${line.text.slice(at, at + find.length)}</mark>${line.text.slice(at + find.length)}`;
  return html`<div class=${'vr' + (picked ? ' sel' : '')} style=${style} onClick=${() => show(line)}><span class="ln">${line.n}</span><span class="tm"><${Time} at=${line.at} /></span><span class=${'el' + (head ? ` b c-${colour}` : '')} title=${line.text}>${text}</span></div>`;
}

const EVENTS = 500, EVENTS_KEPT = 4_000; // asked for at a time; kept, so that a long run takes no more memory than a short one
/** The events of the run by their number. Those after the last one are asked for, so none is missing and none comes twice; earlier ones when they are looked at. */
export function Events({ run, when, newest }) {
  const known = useRef(new Map()), last = useRef(Math.max(0, newest - EVENTS)), looked = useRef(0), busy = useRef(false), asked = useRef(new Set()), [count, set] = useState(0), [, redraw] = useState(0);
  const get = async (after) => {
    const { data } = await ask(`${one(run)}/events`, { query: { after, limit: EVENTS } }), far = (seq, from) => Math.abs(seq - from) > 2 * EVENTS;
    for (const { seq, at, line } of data.items) known.current.set(seq, { at, line });
    if (known.current.size > EVENTS_KEPT) for (const seq of [...known.current.keys()]) if (far(seq, looked.current) && far(seq, after)) known.current.delete(seq);
    return data;
  };
  const earlier = async (after) => {
    if (asked.current.has(after)) return;
    asked.current.add(after);
    looked.current = after;
    await get(after).then(() => redraw((n) => n + 1), () => {}); // the banner says that the service does not answer
    asked.current.delete(after);
  };
  useEffect(() => {
    (async () => {
      if (busy.current) return;
      busy.current = true;
      try {
        for (let more = true; more;) {
          const data = await get(last.current);
          last.current = data.items.at(-1)?.seq || last.current;
          set(last.current);
          more = data.next_after != null;
        }
      } catch { /* the next change asks again */ }
      busy.current = false;
    })();
  }, [run, when]);
  return html`<${VirtualList} className="log" role="log" label="Events" count=${count} height=${20} selected=${count - 1} draw=${(i, style) => {
    const event = known.current.get(i + 1);
    if (!event) earlier(i - (i % EVENTS));
    return html`<div class="vr" data-seq=${i + 1} key=${i} style=${style}><span class="ln">${i + 1}</span><span class="tm">${event ? html`<${Time} at=${event.at} />` : ''}</span><span class="el" title=${event?.line}>${event?.line || '…'}</span></div>`;
  }} />`;
}
