// Processes fatwal-channel: who is online, and why a client reaches a resource or why not.
import {html, useEffect, useState} from './vendor/htm-preact.js';
import {query, request, usePolled, useStill} from './api.js';
import {count, NONE, plural} from './format.js';
import {Badge, Choice, Panel, Search, Table, Trouble, When} from './parts.js';
import {useKept} from './route.js';
import {Explanation} from './why.js';

const EVERY = 2000;
const SESSIONS_EVERY = 3000;
const STATS = [
  ['clients', 'clients'], ['gateways', 'gateways'], ['relays', 'relays'],
  ['gateways_online', 'gateways in the fleet'], ['accounts_live', 'accounts up to date'],
  ['accounts', 'accounts followed'], ['registrations_waiting', 'registrations waiting'],
  ['flows_waiting', 'flows waiting'], ['fleet', 'other processes'],
];

function Stats({stats}) {
  return html`<dl class="facts wide">${STATS.filter(([name]) => stats[name] !== undefined).map(
    ([name, words]) => html`<div><dt>${words}</dt><dd class="number">${
      count(stats[name])}</dd></div>`)}</dl>`;
}

const DEVICES = [
  {head: 'Device', cell: (row) => html`<code>${row.id}</code>`},
  {head: 'Kind', kind: 'text', cell: (row) => html`<${Badge}>${row.kind}</${Badge}>`},
  {head: 'Account', kind: 'key-cell', cell: (row) => html`<code>${row.account}</code>`},
  {head: 'Address', kind: 'text', cell: (row) => html`<code>${row.remote_ip ?? NONE}</code>`},
  {head: 'Version', kind: 'text', cell: (row) => row.version || NONE},
  {head: 'Connected', kind: 'number', cell: (row) => html`<${When} at=${row.connected_at / 1000}/>`},
];

function Online({index, account, onWhy}) {
  const [after, setAfter] = useState(['']);
  useEffect(() => setAfter(['']), [index, account]);
  const page = after[after.length - 1];
  const {data, failure, isLoading} = usePolled(
    `/api/channels/${index}/sessions?${query({account, after: page})}`, SESSIONS_EVERY);
  const rows = data?.sessions ?? [];
  const columns = [...DEVICES, {
    head: html`<span class="hidden">Action</span>`, kind: 'action',
    cell: (row) => row.kind === 'client' && html`<button type="button" class="small"
      onClick=${() => onWhy(row)}>Why…</button>`}];
  return html`<${Panel} id="online" title="Devices online" note=${data && `${plural(rows.length,
      'device')}${data.next || page ? ' on this page' : ''}`}
      actions=${(data?.next || page) && html`
        <button type="button" disabled=${after.length < 2}
          onClick=${() => setAfter(after.slice(0, -1))}>Previous</button>
        <button type="button" disabled=${!data?.next}
          onClick=${() => setAfter([...after, data.next])}>Next</button>`}>
    <${Trouble} failure=${failure}/>
    <${Table} label="Devices online" columns=${columns} rows=${rows}
      keyOf=${(row) => `${row.kind} ${row.id}`} empty=${isLoading ? 'Reading…'
        : account ? 'No device of this account is connected to this process.'
        : 'No device is connected to this process.'}/></${Panel}>`;
}

const named = (each, more) => [each.id, [each.name || each.id, more].filter(Boolean).join(' · ')];

function Why({index, account, client, resource, setClient, setResource}) {
  const still = useStill(account);
  const choices = usePolled(
    still ? `/api/channels/${index}/choices?${query({account: still})}` : null);
  const isWhole = still && client && resource;
  const why = usePolled(
    isWhole ? `/api/channels/${index}/why?${query({account: still, client, resource})}` : null,
    SESSIONS_EVERY);
  const clients = choices.data?.clients ?? [];
  const resources = choices.data?.resources ?? [];
  const select = (label, value, set, options, what) => html`<${Choice} label=${label}
    value=${value} onChange=${set} options=${[['', `choose a ${what}`], ...options,
      ...(value && !options.some(([id]) => id === value) ? [[value, value]] : [])]}/>`;
  return html`<${Panel} id="why" title="Why does a client reach a resource, or why not?">
    ${!account && html`<p class="nothing">Type an account’s id above, or choose <b>Why…</b> at a
      device.</p>`}
    <${Trouble} failure=${choices.failure}/>
    ${choices.data && html`<div class="filters">
      ${select('Client', client, setClient,
        clients.map((each) => named(each, each.actor && `of ${each.actor}`)), 'client')}
      ${select('Resource', resource, setResource,
        resources.map((each) => named(each, each.address ?? each.type)), 'resource')}</div>`}
    ${isWhole && html`<${Trouble} failure=${why.failure}/>`}
    ${isWhole && why.data && html`<${Explanation} answer=${why.data}/>`}</${Panel}>`;
}

export function Channels() {
  const {data, failure} = usePolled('/api/channels', EVERY);
  const [index, setIndex] = useKept('process', '0');
  const [account, setAccount] = useKept('account');
  const [client, setClient] = useKept('client');
  const [resource, setResource] = useKept('resource');
  const processes = data?.processes ?? [];
  const process = processes[Number(index)] ?? processes[0];
  const toWhy = (row) => {
    setAccount(row.account);
    setClient(row.id);
    document.getElementById('why').scrollIntoView({block: 'start'});
  };
  if (!process) {
    return html`<h1 class="page">Channels</h1><${Trouble} failure=${failure}/>
      ${data && html`<p class="nothing">The console was started without <code>--channel</code>. With
        the admin socket of a process fatwal-channel this page shows who is online, and why a client
        reaches a resource.</p>`}`;
  }
  const standing = process.failure ? 'error' : process.stats?.status === 'ok' ? 'ok' : 'warning';
  return html`<h1 class="page">Channels</h1>
    <${Trouble} failure=${failure}/>
    <${Panel} id="process" title="Process" actions=${html`
        ${processes.length > 1 && html`<${Choice} label="Process" value=${index}
          options=${processes.map((each, i) => [String(i), each.socket])} onChange=${setIndex}/>`}
        <${Search} label="Account id" value=${account} onInput=${(next) => setAccount(next.trim())}/>`}>
      <p class="process"><code>${process.socket}</code> <${Badge} severity=${standing}>${
        process.failure ? 'does not answer' : process.stats?.status ?? 'ok'}</${Badge}></p>
      ${process.failure ? html`<p class="error-text">${process.failure}</p>`
        : html`<${Stats} stats=${process.stats ?? {}}/>`}</${Panel}>
    <${Online} index=${Number(index)} account=${account} onWhy=${toWhy}/>
    <${Why} index=${Number(index)} account=${account} client=${client} resource=${resource}
      setClient=${setClient} setResource=${setResource}/>`;
}
