// The tab's title and icon carry the state.
import { useEffect } from '../vendor/htm-preact.js';
import { file } from './store.js';
import { STATES } from './words.js';

const ICONS = { run: 'running', done: 'done', bad: 'failed', ask: 'asks', undo: 'undo', retry: 'degraded' };

export function useTitle(title, state) {
  useEffect(() => {
    const colour = state && STATES[state]?.[2];
    document.title = `${state ? STATES[state][0] + ' · ' : ''}${title} · Batchwright`;
    document.querySelector('link[rel=icon]').href = file(`icons/${ICONS[colour] || 'idle'}.svg`);
  }, [title, state]);
}
