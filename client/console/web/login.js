// Where the console was started with a token.
import {html, useState} from './vendor/htm-preact.js';
import {request} from './api.js';
import {connect, live} from './live.js';
import {Trouble} from './parts.js';

export function Login() {
  const [token, setToken] = useState('');
  const [failure, setFailure] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    try {
      await request('/api/login', {
        method: 'POST',
        headers: {'Content-Type': 'application/json'},
        body: JSON.stringify({token: token.trim()}),
      });
      live.connection = 'connecting';
      connect();
    } catch (error) {
      setFailure(error);
    }
  };
  return html`<main class="login"><form class="panel" onSubmit=${submit}>
    <h1>fatwal console</h1>
    <p>This console asks for its token. It stands in the file that <code>--token-file</code>
      names on the host of the console.</p>
    <label for="token">Token</label>
    <input id="token" type="password" autocomplete="current-password" required autofocus
      value=${token} onInput=${(event) => setToken(event.target.value)}/>
    <${Trouble} failure=${failure}/>
    <button type="submit" class="primary">Log in</button>
  </form></main>`;
}
