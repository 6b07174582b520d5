// Accounts, searched by key and sorted.
import {html} from './vendor/htm-preact.js';
import {query, usePolled, useStill} from './api.js';
import {bytesPerSecond, count, NONE, perSecond, plural} from './format.js';
import {Account, Bytes, Panel, Search, Table, Trouble} from './parts.js';
import {useKept} from './route.js';

const TOP = 200;
const EVERY = 2000;

const COLUMNS = [
  {head: 'Account', sort: 'key', cell: (row) => html`<${Account} of=${row.account}/>`},
  {head: 'Behind', sort: 'lag', kind: 'number',
   cell: (row) => html`<${Bytes} of=${row.lag_bytes}/>`},
  {head: 'Frames/s', kind: 'number', cell: (row) => perSecond(row.frames_s)},
  {head: 'Bytes/s', sort: 'rate', kind: 'number', cell: (row) => row.bytes_s === 0
    ? html`<span class="zero">0</span>` : bytesPerSecond(row.bytes_s)},
  {head: 'Subscribers', sort: 'subscribers', kind: 'number', cell: (row) => count(row.subscribers)},
  {head: 'Durable', kind: 'number', cell: (row) => count(row.durable)},
  {head: 'Frames', kind: 'number', cell: (row) => count(row.frames)},
  {head: 'Bytes', sort: 'bytes', kind: 'number', cell: (row) => html`<${Bytes} of=${row.bytes}/>`},
  {head: 'Newest change', kind: 'lsn', cell: (row) => html`<code>${row.newest ?? NONE}</code>`},
];

export function Accounts() {
  const [search, setSearch] = useKept('search');
  const [by, setBy] = useKept('by', 'rate');
  const still = useStill(search);
  const {data, failure, isLoading} = usePolled(
    `/api/accounts?${query({search: still, by, top: TOP})}`, EVERY);
  const rows = data?.accounts ?? [];
  return html`<h1 class="page">Accounts</h1>
    <${Panel} id="accounts" title=${data ? plural(data.matching, 'account') : 'Accounts'}
      note=${data && (data.matching > rows.length ? `the first ${count(rows.length)} are shown`
        : data.matching < data.total ? `of ${count(data.total)}` : 'that fatwald has in memory')}
      actions=${html`<${Search} label="Search accounts by key" value=${search}
        onInput=${setSearch}/>`}>
      <${Trouble} failure=${failure}/>
      <${Table} label="Accounts" columns=${COLUMNS} rows=${rows} keyOf=${(row) => row.account}
        sort=${{by, set: setBy}}
        empty=${isLoading ? 'Reading…' : search ? `No account's key has “${search}”.`
          : 'No account has had a change or a subscriber since fatwald began.'}/></${Panel}>`;
}
