// The rows of an account by table, as a snapshot has them. Read when asked for: it costs the
// database a query.
import {html, useEffect, useRef, useState} from './vendor/htm-preact.js';
import {accountQuery, count, plural, value} from './format.js';
import {refusalOf} from './api.js';
import {Bytes, Panel, Table, Trouble} from './parts.js';

const FIRST = 200;  // rows of a table that are shown

function Rows({table}) {
  const names = [...new Set(table.first.flatMap((row) => Object.keys(row)))];
  const columns = names.map((name, index) => ({
    head: name,
    kind: index ? 'text' : '',
    cell: (row) => html`<span class="value ${row[name] === null ? 'null' : ''}">${
      value(row[name]).slice(0, 500)}</span>`,
  }));
  return html`<details class="rows"><summary><code>${table.table}</code>
      <span class="number">${plural(table.rows, 'row')}</span>
      <span class="muted"><${Bytes} of=${table.bytes}/></span></summary>
    ${table.rows > table.first.length && html`<p class="hint">The first ${
      count(table.first.length)} are shown.</p>`}
    <${Table} label=${`Rows of ${table.table}`} columns=${columns}
      rows=${table.first.slice(0, FIRST)} keyOf=${(row) => table.first.indexOf(row)}
      empty="No rows."/></details>`;
}

export function SnapshotRows({account}) {
  const [standing, set] = useState(null);  // {rows} while it reads, then {tables} or {error}
  const source = useRef(null);
  const close = () => source.current?.close();
  useEffect(() => close, []);
  const read = () => {
    close();
    set({rows: 0});
    source.current = new EventSource(`/api/rows?${accountQuery(account)}`);
    const on = (name, handle) => source.current.addEventListener(name, (event) => {
      if (event.data !== undefined) handle(JSON.parse(event.data));
    });
    on('progress', ({rows}) => set({rows}));
    on('done', ({tables}) => {
      close();
      set({tables});
    });
    on('failed', (failure) => {
      close();
      set(failure);
    });
    source.current.addEventListener('error', (event) => {
      if (event.data !== undefined) return;
      const {url} = source.current;
      close();
      refusalOf(url).then((refusal) => set(refusal ??
        {error: 'The connection was lost while the rows were read.', hint: 'Read them again.'}));
    });
  };
  const isReading = standing?.rows !== undefined;
  return html`<${Panel} id="rows" title="Rows by table" note="as a new subscriber’s snapshot has them"
      actions=${html`<button type="button" disabled=${isReading} onClick=${read}>${
        standing ? 'Read again' : 'Read the rows'}</button>`}>
    <div role="status">${isReading && html`<p class="hint">Reading: ${
      plural(standing.rows, 'row')} so far…</p>`}</div>
    ${standing?.error && html`<${Trouble} failure=${standing}/>`}
    ${standing?.tables && (standing.tables.length
      ? standing.tables.map((table) => html`<${Rows} key=${table.table} table=${table}/>`)
      : html`<p class="nothing">The account has no rows.</p>`)}
    ${!standing && html`<p class="nothing">Reading them runs a query over the account’s tables.</p>`}
  </${Panel}>`;
}
