// The lines for the shell that do the same as the buttons, one press away and ready to be copied.
import { html, useEffect, useRef } from '../vendor/htm-preact.js';
import { Copy } from './parts.js';

/** `items` are [what it does, line]. */
export function Commands({ items }) {
  const box = useRef();
  useEffect(() => {
    const shut = (event) => { if (box.current?.open && !box.current.contains(event.target)) box.current.open = false; };
    addEventListener('pointerdown', shut);
    return () => removeEventListener('pointerdown', shut);
  }, []);
  const leave = (event) => { if (event.key === 'Escape' && box.current.open) { box.current.open = false; box.current.firstElementChild.focus(); event.stopPropagation(); } };
  return html`<details class="cmds" ref=${box} onKeyDown=${leave}><summary class="btn bare">Commands</summary><dl class="box">${items.map(([what, line]) => html`<dt class="q">${what}</dt><dd><${Copy} text=${line} /></dd>`)}</dl></details>`;
}
