// The form in which a token or a code is pasted.
import { html, useEffect, useRef, useState } from '../vendor/htm-preact.js';
import { Problem, signIn } from './net.js';
import { Copy } from './parts.js';

export function SignIn({ why }) {
  const token = useRef(), [wrong, setWrong] = useState('');
  const send = async (event) => {
    event.preventDefault();
    const words = token.current.value.trim();
    try {
      await signIn(words.startsWith('bw_') ? { token: words } : { code: words });
    } catch (error) {
      setWrong(error instanceof Problem ? error.message : 'The service does not answer.');
    }
  };
  useEffect(() => { document.title = 'Sign in · Batchwright'; }, []);
  const told = why && `${why[0].toUpperCase()}${why.slice(1)}${why.endsWith('.') ? '' : '.'}`;
  return html`<main class="mid" id="main"><h1>Batchwright</h1><p>${told || 'This service asks for an access token.'} On a machine where you use the command line, this opens the page signed in:</p>
    <${Copy} text="batchwright open" />
    <form class="sec" onSubmit=${send}><label class="sec"><span class="q">Or paste a token</span><input class="in mono" ref=${token} type="password" name="token" autocomplete="off" required aria-invalid=${wrong ? 'true' : undefined} aria-describedby="wrong" /></label>
    <p id="wrong" class="c-bad" role="alert">${wrong}</p><div class="row"><button class="btn pri">Sign in</button></div></form>
    <p class="q">An admin makes one: <code>batchwright token create --role viewer</code></p></main>`;
}
