// Subscribers that are attached, and durable ones that are away.
import {html} from './vendor/htm-preact.js';
import {query, usePolled, useStill} from './api.js';
import {count, duration, NONE, plural} from './format.js';
import {Account, Badge, Bytes, Panel, Search, Table, Trouble} from './parts.js';
import {Forget} from './forget.js';
import {live} from './live.js';
import {useKept} from './route.js';

const TOP = 200;
const EVERY = 2000;

const STATES = {
  joining: ['note', 'joining', 'It is subscribing, and has no changes yet.'],
  live: ['ok', 'live', 'It receives changes as they are published.'],
  replaying: ['warning', 'replaying', 'It is being sent what it missed.'],
  snapshot: ['note', 'snapshot', 'It reads a snapshot of its rows.'],
};

function State({of}) {
  const [severity, word, title] = STATES[of] ?? ['note', of, ''];
  return html`<${Badge} severity=${severity} title=${title}>${word}</${Badge}>`;
}

// Of a durable subscriber that is away: what it costs is known where it is a hold.
function holdOf(row) {
  return live.state.holds.find(
    (hold) => hold.account === row.account && hold.name === row.name) ?? null;
}

function attachedColumns(withAccount, again) {
  return [
    {head: 'Subscriber', sort: 'name',
     cell: (row) => html`<span class="who">${row.name || html`<span class="muted">without a
       name</span>`}${row.durable && html` <${Badge}>durable</${Badge}>`}</span>`},
    withAccount && {head: 'Account', sort: 'account', kind: 'key-cell',
      cell: (row) => html`<${Account} of=${row.account}/>`},
    {head: 'State', kind: 'text', cell: (row) => html`<${State} of=${row.state}/>`},
    {head: 'Behind', sort: 'lag', kind: 'number',
     cell: (row) => html`<${Bytes} of=${row.lag_bytes}/>`},
    {head: 'Not read yet', sort: 'unread', kind: 'number',
     cell: (row) => html`<${Bytes} of=${row.unread_bytes}/>`},
    {head: 'Attached for', kind: 'number', cell: (row) => duration(row.attached_seconds)},
    {head: 'Credential', kind: 'text', cell: (row) => row.credential ??
      html`<span class="muted">local</span>`},
    {head: html`<span class="hidden">Action</span>`, kind: 'action',
     cell: (row) => row.durable && html`<${Forget} onDone=${again} subscriber=${{
       account: row.account, name: row.name, behind: row.lag_bytes, isAttached: true,
       droppedIn: null}}/>`},
  ].filter(Boolean);
}

function awayColumns(withAccount, again) {
  return [
    {head: 'Subscriber', cell: (row) => html`<span class="who">${row.name}</span>`},
    withAccount && {head: 'Account', kind: 'key-cell',
      cell: (row) => html`<${Account} of=${row.account}/>`},
    {head: 'Holds WAL', kind: 'text', cell: (row) => row.holds
      ? html`<${Badge} severity="warning">holds WAL</${Badge}>`
      : html`<${Badge} severity="ok">has all</${Badge}>`},
    {head: 'Behind', kind: 'number',
     cell: (row) => html`<${Bytes} of=${holdOf(row)?.behind_bytes ?? null}/>`},
    {head: 'Acknowledged', kind: 'lsn', cell: (row) => html`<code>${
      row.acknowledged ?? NONE}</code>`},
    {head: 'Stored', kind: 'lsn', cell: (row) => html`<code>${row.stored ?? NONE}</code>`},
    {head: html`<span class="hidden">Action</span>`, kind: 'action',
     cell: (row) => html`<${Forget} onDone=${again} subscriber=${{
       account: row.account, name: row.name, behind: holdOf(row)?.behind_bytes ?? null,
       isAttached: false, droppedIn: holdOf(row)?.dropped_in_seconds ?? null}}/>`},
  ].filter(Boolean);
}

// Of all accounts, or of one: `of` is its query.
export function SubscriberTables({of = '', search = '', by, setBy, actions}) {
  const {data, failure, isLoading, again} = usePolled(
    `/api/subscribers?${of}${of && '&'}${query({search, by, top: TOP})}`, EVERY);
  const rows = data?.subscribers ?? [];
  const away = data?.away ?? [];
  const keyOf = (row) => `${row.account} ${row.name} ${row.attached_seconds !== undefined
    ? rows.indexOf(row) : ''}`;
  return html`<${Trouble} failure=${failure}/>
    <${Panel} id="attached" actions=${actions} title=${data
        ? `${plural(data.matching, 'subscriber')} attached` : 'Subscribers attached'}
      note=${data && (data.matching > rows.length ? `the first ${count(rows.length)} are shown`
        : data.matching < data.total && !of ? `of ${count(data.total)}` : '')}>
      <${Table} label="Subscribers that are attached" rows=${rows} keyOf=${keyOf}
        columns=${attachedColumns(!of, again)} sort=${{by, set: setBy}}
        empty=${isLoading ? 'Reading…' : search ? `Nobody whose name or account has “${search}”.`
          : 'Nobody is attached.'}/></${Panel}>
    ${(away.length > 0 || !of) && html`<${Panel} id="away"
        title=${`${plural(away.length, 'durable subscriber')} away`}
        note="Postgres keeps WAL for those that hold it, until they come back or are dropped">
      <${Table} label="Durable subscribers that are away" rows=${away}
        keyOf=${(row) => `${row.account} ${row.name}`} columns=${awayColumns(!of, again)}
        empty=${isLoading ? 'Reading…' : 'No durable subscriber is away.'}/></${Panel}>`}`;
}

export function Subscribers() {
  const [search, setSearch] = useKept('search');
  const [by, setBy] = useKept('by', 'lag');
  const still = useStill(search);
  return html`<h1 class="page">Subscribers</h1>
    <${SubscriberTables} search=${still} by=${by} setBy=${setBy}
      actions=${html`<${Search} label="Search by name or account" value=${search}
        onInput=${setSearch}/>`}/>`;
}
