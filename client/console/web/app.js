// The frame of all pages: where one is, where one can go, whether what is shown is true.
import {html, render, useEffect, useLayoutEffect, useRef, useState} from './vendor/htm-preact.js';
import {connect, live, useLive} from './live.js';
import {useRoute} from './route.js';
import {clock, duration} from './format.js';
import {Dialog, Icon, severityOf, useTick} from './parts.js';
import {Overview} from './overview.js';
import {Accounts} from './accounts.js';
import {AccountPage} from './account.js';
import {Subscribers} from './subscribers.js';
import {Slot} from './slot.js';
import {Events} from './events.js';
import {Channels} from './channels.js';
import {Login} from './login.js';

const PAGES = [
  {name: 'overview', title: 'Overview', key: 'o', page: Overview},
  {name: 'accounts', title: 'Accounts', key: 'a', page: Accounts},
  {name: 'account', title: 'Account', of: 'accounts', page: AccountPage},
  {name: 'subscribers', title: 'Subscribers', key: 's', page: Subscribers},
  {name: 'slot', title: 'Slot and settings', key: 'l', page: Slot},
  {name: 'events', title: 'Events', key: 'e', page: Events},
  {name: 'channels', title: 'Channels', key: 'c', page: Channels},
];
const SHOWN = PAGES.filter((page) => page.key);
const WORDS = {ok: 'well', note: 'a note', warning: 'warning', error: 'error'};
const STANDING = {ok: 'All is well', note: 'A note', warning: 'A warning', error: 'A fault'};

// Keys of pages are handled here; those of a page by its elements with data-key.
const KEYS = [
  ['/', 'search on this page'],
  ...SHOWN.map((page) => [`g ${page.key}`, `go to ${page.title}`]),
  ['p', 'pause or resume the live tail'],
  ['t', 'change between light and dark'],
  ['?', 'show the keys'],
  ['Esc', 'close a dialog, leave a field'],
];

function isTyping(event) {
  return event.target.closest?.('input, select, textarea, [contenteditable]') !== null;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function toggleTheme() {
  const next = isDark() ? 'light' : 'dark';
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem('fatwal.theme', next);
  } catch {
    // Without storage it holds for this page.
  }
  dispatchEvent(new Event('fatwal-theme'));
}

function useKeys(showHelp) {
  const goes = useRef(false);
  useEffect(() => {
    let timer = null;
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event)) {
        if (event.key === 'Escape') event.target.blur();
        return;
      }
      if (document.querySelector('dialog[open]')) return;
      if (goes.current) {
        goes.current = false;
        const page = SHOWN.find((each) => each.key === event.key);
        if (page) {
          event.preventDefault();
          location.hash = `#/${page.name}`;
          return;
        }
      }
      if (event.key === 'g') {
        goes.current = true;
        clearTimeout(timer);
        timer = setTimeout(() => { goes.current = false; }, 1500);
      } else if (event.key === '/') {
        const field = document.querySelector('[data-search]');
        if (!field) return;
        event.preventDefault();
        field.focus();
        field.select();
      } else if (event.key === '?') {
        showHelp();
      } else if (event.key === 't') {
        toggleTheme();
      } else if (event.key.length === 1) {
        document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
      }
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
}

const COLOURS = {ok: '#1a7f4b', note: '#3b5a94', warning: '#b87503', error: '#c02b21', lost: '#777'};

// The tab tells it too.
function useTab(severity, title) {
  useEffect(() => {
    const icon = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" ' +
      `height="16" rx="4" fill="${COLOURS[severity]}"/><path d="M5.5 12.5v-9h6M5.5 8h4.5" ` +
      'fill="none" stroke="#fff" stroke-width="2"/></svg>';
    document.querySelector('link[rel=icon]').href = `data:image/svg+xml,${encodeURIComponent(icon)}`;
  }, [severity]);
  useEffect(() => {
    const word = severity === 'lost' ? 'not connected' : WORDS[severity];
    document.title = `${title} · ${word} · fatwal`;
  }, [severity, title]);
}

function Lost() {
  useTick();
  const {connection, lostSince, reason, receivedAt} = live;
  if (connection !== 'lost') return null;
  return html`<div class="lost" role="alert"><${Icon} severity="error"/><div>
    <strong>The connection to the console is lost: ${reason}.</strong>
    ${receivedAt
      ? ` The figures are those of ${clock(receivedAt)}, ${
          duration((Date.now() - receivedAt) / 1000)} ago.`
      : ` There are no figures yet, for ${duration((Date.now() - lostSince) / 1000)}.`}
    ${' '}It tries again by itself. Is <code>fatwal console</code> running?</div></div>`;
}

function Help({onClose}) {
  return html`<${Dialog} title="Keys" onClose=${onClose}>
    <dl class="keys">${KEYS.map(([keys, what]) => html`<div>
      <dt>${keys.split(' ').map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${what}</dd></div>`)}</dl>
    <div class="buttons"><button type="button" onClick=${onClose} autofocus>Close</button></div>
  </${Dialog}>`;
}

function Navigation({current, onHelp}) {
  const [isOpen, set] = useState(false);
  useEffect(() => set(false), [current]);
  const {state} = live;
  const severity = live.connection === 'live' ? severityOf(state?.verdict.severity) : 'lost';
  return html`<header class="bar">
    <a class="brand" href="#/overview"><svg viewBox="0 0 24 24" width="22" height="22"
      aria-hidden="true"><rect width="24" height="24" rx="6"/><path d="M8 18.5v-13h9M8 12h6.5"/>
      </svg><span>fatwal <small>console</small></span></a>
    <button type="button" class="menu" aria-expanded=${isOpen} aria-controls="pages"
      onClick=${() => set(!isOpen)}>Menu</button>
    <nav id="pages" class=${isOpen ? 'open' : ''} aria-label="Pages"><ul>
      ${SHOWN.map((page) => html`<li><a href=${`#/${page.name}`}
        aria-current=${page.name === current ? 'page' : null}
        onClick=${() => set(false)}>${page.title}<kbd aria-hidden="true">g ${page.key}</kbd></a></li>`)}
    </ul></nav>
    <div class="foot">
      <a class="standing ${severity}" href="#/overview">${
        severity === 'lost' ? 'Not connected' : html`<${Icon} severity=${severity}/>${
          STANDING[severity]}`}</a>
      <div class="tools"><button type="button" class="small" onClick=${toggleTheme}
        title="Light or dark (t)">Theme</button>
      <button type="button" class="small" onClick=${onHelp} title="Keys (?)">Keys</button></div>
      ${state && html`<p class="note">Version ${state.version}</p>`}
    </div></header>`;
}

function App() {
  const {connection, state} = useLive();
  const route = useRoute();
  const [isHelp, setHelp] = useState(false);
  const main = useRef(null);
  const place = PAGES.find((each) => each.name === route.page) ?? PAGES[0];
  useKeys(() => setHelp(true));
  useTab(connection === 'live' ? severityOf(state.verdict.severity) : 'lost', place.title);
  const isFirst = useRef(true);
  // Before the next key is pressed: an effect may run after it, and take the focus away again.
  useLayoutEffect(() => {
    if (!isFirst.current) main.current?.focus({preventScroll: true});
    isFirst.current = false;
    scrollTo(0, 0);
  }, [place.name]);
  if (connection === 'login') return html`<${Login}/>`;
  const skip = (event) => {
    event.preventDefault();
    main.current.focus();
  };
  // An account's page is another one for another account.
  const key = `${route.page} ${route.query.get('account')} ${route.query.get('operators')}`;
  return html`<a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
    <${Navigation} current=${place.of ?? place.name} onHelp=${() => setHelp(true)}/>
    <main id="content" ref=${main} tabindex="-1" class=${connection === 'lost' ? 'stale' : ''}>
      <${Lost}/>
      ${state === null
        ? html`<p class="waiting" role="status">Waiting for the first figures…</p>`
        : html`<div class="figures"><${place.page} key=${key} query=${route.query}/></div>`}
    </main>
    ${isHelp && html`<${Help} onClose=${() => setHelp(false)}/>`}`;
}

render(html`<${App}/>`, document.getElementById('app'));
connect();
