// Words, shapes and colours of states; numbers and times as people read them.

// Shapes on a 16 x 16 field, even-odd; the same text serves SVG and Path2D.
export const SHAPES = {
  ring: 'M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 1 0 0-11zM8 4.2a3.8 3.8 0 1 1 0 7.6a3.8 3.8 0 1 1 0-7.6z',
  tri: 'M4 2v12l10-6z',
  step: 'M2.5 2.5h2.4v11H2.5zM6.5 2.5v11L14.5 8z',
  loop: 'M8 3a5 5 0 1 0 5 5h-2a3 3 0 1 1-3-3v2.5l4-3.5L8 .5z',
  check: 'M6.3 13L1.7 8.4l1.5-1.5 3.1 3.1 6.6-6.6 1.5 1.5z',
  cross: 'M2 2h12v12H2zM5.3 4.1L4.1 5.3 6.8 8l-2.7 2.7 1.2 1.2L8 9.2l2.7 2.7 1.2-1.2L9.2 8l2.7-2.7-1.2-1.2L8 6.8z',
  skip: 'M2 3.2L3.3 2l5.7 6-5.7 6L2 12.8 6.6 8zM7.5 3.2L8.8 2l5.7 6-5.7 6-1.3-1.2L12.1 8z',
  dash: 'M3 7h10v2H3z',
  half: 'M8 .6L.6 8 8 15.4zM9 1.6L15.4 8 9 14.4v-2.5L12.9 8 9 4.1z',
  bubble: 'M1.5 2h13v9.5H8.6L4.5 15v-3.5h-3zM7.1 3.6v4.2h1.8V3.6zM7.1 8.6v1.7h1.8V8.6z',
  bars: 'M3.5 3h3.2v10H3.5zM9.3 3h3.2v10H9.3z',
  stop: 'M2.5 2.5h11v11h-11zM4.4 4.4v7.2h7.2V4.4z',
  back: 'M12 2v12L2 8z',
  undone: 'M12.6 1.6v12.8L1.4 8zM10.8 4.8L5.2 8l5.6 3.2z',
  boxback: 'M2 2h12v12H2zM10.6 3.8v8.4L4 8z',
  nolink: 'M2 7h4v2H2zM10 7h4v2h-4zM6.6 12.4l1.5-9 1.3.2-1.5 9z',
  warn: 'M8 1l7.5 13.5H.5zM7.1 6v4.2h1.8V6zM7.1 11.2v1.8h1.8v-1.8z',
};

// state: [word, shape, colour, class of its part in a strip]
export const STATES = {
  waiting: ['waiting', 'ring', 'wait', 'wait'],
  started: ['started', 'tri', 'run', 'run'],
  created: ['starting up', 'step', 'run', 'run'],
  retrying: ['retrying', 'loop', 'retry', 'retry'],
  succeeded: ['done', 'check', 'done', 'done'],
  failed: ['failed', 'cross', 'bad', 'bad'],
  skipped: ['skipped', 'skip', 'wait', 'skip'],
  not_wanted: ['not wanted', 'dash', 'wait', 'skip'],
  never_began: ['never began', 'dash', 'wait', 'wait'],
  in_doubt: ['in doubt', 'half', 'doubt', 'doubt'],
  asking: ['asks', 'bubble', 'ask', 'ask'],
  undoing: ['undoing', 'back', 'undo', 'undo'],
  undo_retrying: ['undo retrying', 'loop', 'retry', 'retry'],
  undone: ['undone', 'undone', 'undo', 'undone'],
  undo_failed: ['undo failed', 'boxback', 'bad', 'bad'],
  degraded: ['degraded', 'check', 'retry', 'retry'],
  Pending: ['Pending', 'ring', 'wait'],
  Running: ['Running', 'tri', 'run'],
  Paused: ['Paused', 'bars', 'ink'],
  Completed: ['Completed', 'check', 'done'],
  Degraded: ['Completed, degraded', 'check', 'retry'],
  Failed: ['Failed', 'cross', 'bad'],
  Cancelled: ['Cancelled', 'stop', 'wait'],
  Asks: ['Running, asks', 'bubble', 'ask'],
  RollingBack: ['RollingBack', 'back', 'undo'],
  RolledBack: ['RolledBack', 'undone', 'undo'],
  RollbackIncomplete: ['RollbackIncomplete', 'boxback', 'bad'],
  Undriven: ['nobody drives', 'nolink', 'bad'],
};
export const WORST = ['asking', 'failed', 'undo_failed', 'in_doubt', 'retrying', 'undo_retrying', 'undoing', 'started', 'created',
  'undone', 'succeeded', 'skipped', 'not_wanted', 'never_began', 'waiting'];
export const STRIP = ['succeeded', 'undone', 'started', 'created', 'undoing', 'undo_retrying', 'retrying', 'in_doubt', 'asking', 'failed',
  'undo_failed', 'skipped', 'not_wanted', 'never_began', 'waiting'];
export const ENDED = ['Completed', 'Failed', 'Cancelled', 'RolledBack', 'RollbackIncomplete'];
export const BACK = ['RollingBack', 'RolledBack', 'RollbackIncomplete'];

/** The state of a run as people see it: what asks, and what nobody drives, stand out. */
export function stateOf(run) {
  if (!ENDED.includes(run.status) && run.driven === false && run.status !== 'Pending') return 'Undriven';
  if (run.status === 'Running' && (run.counts?.asking || Number(run.asks?.length ?? run.asks))) return 'Asks';
  if (run.status === 'Completed' && (run.failed?.length || (typeof run.failed === 'number' && run.failed))) return 'Degraded';
  return run.status;
}

/** The operation that is picked, by itself or by one of its steps. */
export const operationOf = (view, op, sel) => op || (sel && view.operations.find((each) => sel.startsWith(`${each.id}/`))?.id) || '';

export const num = (n) => (n ?? 0).toLocaleString('en-GB');
export const many = (n, word, words) => `${num(n)} ${n === 1 ? word : words || word + 's'}`;
export const money = (n, currency) => new Intl.NumberFormat('en-GB', { style: 'currency', currency }).format(n);

export function dur(s) {
  if (s == null) return '';
  s = Math.max(0, s);
  if (s < 0.0995) return Math.round(s * 1e3) + ' ms';
  if (s < 9.95) return s.toFixed(1) + ' s';
  s = Math.round(s);
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' m' + (s % 60 ? ` ${s % 60} s` : '');
  const m = Math.round(s / 60);
  if (m < 1440) return Math.floor(m / 60) + ' h' + (m % 60 ? ` ${m % 60} m` : '');
  return Math.round(m / 1440) + ' d';
}

export const now = () => Date.now() / 1e3;
export const MODES = ['UTC', 'local', 'relative'];
const two = (n) => String(n).padStart(2, '0');

/** A moment: the time of day, with the day if it is another one; or how long ago. */
export function clock(t, mode, seconds = true) {
  if (!t) return '';
  if (mode === 'relative') {
    const d = now() - t;
    return Math.abs(d) < 1 ? 'now' : d > 0 ? dur(d) + ' ago' : 'in ' + dur(-d);
  }
  const d = new Date(t * 1e3), l = mode === 'local', today = new Date();
  const part = (date, name) => date[`get${l ? '' : 'UTC'}${name}`]();
  const day = (date) => `${part(date, 'FullYear')}-${two(part(date, 'Month') + 1)}-${two(part(date, 'Date'))}`;
  const time = [part(d, 'Hours'), part(d, 'Minutes'), ...(seconds ? [part(d, 'Seconds')] : [])].map(two).join(':');
  return day(d) === day(today) ? time : `${day(d).slice(part(d, 'FullYear') === part(today, 'FullYear') ? 5 : 0)} ${time}`;
}
export const stamp = (t) => t ? new Date(t * 1e3).toISOString().replace('T', ' ').slice(0, 19) + ' UTC' : '';
