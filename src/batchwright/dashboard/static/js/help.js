// The keys of the page.
import { html } from '../vendor/htm-preact.js';
import { Dialog } from './parts.js';

const KEYS = [['/', 'find in what is shown'], ['Ctrl K', 'go to anything'], ['1 2 3 4', 'graph, timeline, steps, detail'], ['m', 'one pane over all'], ['j k', 'next, previous row'], ['Enter', 'open what is selected'], ['Esc', 'one level back'],
  ['f F', 'next, previous failure'], ['w l h', 'why, log, history of a step'], ['g', 'steps by state, by operation, as planned'], ['[ ]', 'how far around a selected operation'], ['+ - 0', 'graph nearer, farther, whole'],
  ['i', 'fold idle time'], ['a', 'all rows of the timeline at once'], [', .', 'one event back, on'], ['< >', 'a hundredth of the run back, on'], ['n', 'back to now'], ['c', 'copy the command for the shell'], ['t', 'times in UTC, local, relative'], ['?', 'these keys']];

export const Help = ({ close }) => html`<${Dialog} title="Keys" onClose=${close}><dl class="kv keys">${KEYS.map(([keys, words]) => html`<dt>${keys.split(' ').map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${words}</dd>`)}</dl><p class="q">No single key changes a run.</p><//>`;
