// The live tail as a table that shows what changed.
import {html, useEffect, useMemo, useRef, useState} from './vendor/htm-preact.js';
import {accountQuery, clock, count, exactTime, NONE, plural, value} from './format.js';
import {Badge, Choice, Copy, Icon, Search} from './parts.js';
import {keep, parse, useKept} from './route.js';
import {DATA, MOST, positionOf, TailStream} from './tail_stream.js';

const OPS = ['insert', 'update', 'delete', 'truncate', 'message'];
const MARKS = {
  insert: '+', update: '~', delete: '−', truncate: '⌫', message: '✉', resync: '↻', error: '!', row: '·'};
const MOST_PAIRS = 8;  // columns of a row in the table; the details have all
const LONG = 120;  // characters of a value in the table; the whole one is in the details

const isSame = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function tableOf(event) {
  return event.table ? `${event.schema}.${event.table}` : event.topic ?? event.prefix ?? NONE;
}

// Columns by which a person knows the row: its key is not in the stream, so what is named like one,
// else the first column.
function identity(row) {
  const names = Object.keys(row ?? {});
  return names.includes('id') ? ['id'] : names.slice(0, 1);
}

function Value({of, kind = ''}) {
  const text = value(of);
  const short = text.length > LONG ? `${text.slice(0, LONG)}…` : text;
  return html`<span class="value ${kind} ${of === null || of === undefined ? 'null' : ''}"
    title=${text.length > LONG ? text.slice(0, 2000) : null}>${short}</span>`;
}

function Pair({name, children}) {
  return html`<span class="pair"><span class="column">${name}</span>${children}</span>`;
}

function More({of}) {
  return of > MOST_PAIRS ? html`<span class="muted">and ${of - MOST_PAIRS} more</span>` : null;
}

function Changed({event}) {
  const {op, old, new: row} = event;
  if (op === 'update') {
    // Of a column whose old value was not logged nobody knows whether it differs.
    const isKnown = (name) => old !== undefined && name in old;
    const names = Object.keys(row ?? {}).filter((name) => !isKnown(name) ||
      !isSame(row[name], old[name])).sort((a, b) => isKnown(b) - isKnown(a));
    const who = identity(row).filter((name) => !names.includes(name));
    return html`${who.map((name) => html`<${Pair} name=${name}><${Value} of=${row[name]}/></${Pair}>`)}
      ${names.length === 0 && html`<span class="muted">no column differs</span>`}
      ${names.slice(0, MOST_PAIRS).map((name) => html`<${Pair} name=${name}>${isKnown(name)
        ? html`<del><${Value} of=${old[name]}/></del><span class="to" aria-label="is now">→</span>
          <ins><${Value} of=${row[name]}/></ins>`
        : html`<${Value} of=${row[name]}/><span class="muted" title="The server did not log its old
          value"> (was not logged)</span>`}</${Pair}>`)}
      <${More} of=${names.length}/>`;
  }
  if (op === 'truncate') {
    return html`<span>all rows of the table are gone${event.cascade ? ', cascaded' : ''}${
      event.restart_identity ? ', identity restarted' : ''}</span>`;
  }
  if (op === 'message') {
    return html`<${Value} of=${event.content_unavailable ? '(content too large)'
      : event.payload ?? event.content}/>`;
  }
  if (op === 'resync') {
    return html`<span>${event.reason ?? 'the rows of the table changed in a way that no change \
expresses; subscribers take a snapshot'}</span>`;
  }
  if (op === 'error') return html`<span>${event.message} ${event.hint}</span>`;
  // The account's own key is in the head of the page.
  const all = row ?? old ?? {};
  const names = Object.keys(all).filter(
    (name) => name === 'id' || event.account === null || value(all[name]) !== event.account);
  return html`${names.slice(0, MOST_PAIRS).map((name) => html`<${Pair} name=${name}><${Value}
    of=${all[name]} kind=${op === 'delete' ? 'gone' : ''}/></${Pair}>`)}<${More}
    of=${names.length}/>`;
}

function Details({event, href}) {
  const {old, new: row} = event;
  const names = [...new Set([...Object.keys(row ?? {}), ...Object.keys(old ?? {})])];
  const facts = [
    ['transaction', event.xid], ['position', positionOf(event)],
    ['committed', event.commit_ts],
    ...['moved', 'unrouted', 'malformed'].filter((name) => event[name]).map((name) => [name, 'yes']),
  ].filter(([, of]) => of !== undefined && of !== null);
  return html`<div class="details">
    <dl class="facts">${facts.map(([name, of]) => html`<div><dt>${name}</dt><dd><code>${
      of}</code></dd></div>`)}</dl>
    ${names.length > 0 && html`<table><thead><tr><th scope="col">Column</th>
      ${old && html`<th scope="col">Old</th>`}${row && html`<th scope="col">New</th>`}</tr></thead>
      <tbody>${names.map((name) => html`<tr class=${old && row && !isSame(old[name], row[name])
          ? 'differs' : ''}><th scope="row">${name}</th>
        ${old && html`<td><span class="value">${value(old[name])}</span></td>`}
        ${row && html`<td><span class="value">${value(row[name])}</span></td>`}</tr>`)}
      </tbody></table>`}
    <div class="buttons left"><${Copy} label="Copy as JSON" text=${JSON.stringify(event)}/>
      ${href && html`<${Copy} label="Copy a link to this change"
        text=${`${location.origin}${location.pathname}${href}`}/>`}</div></div>`;
}

function Row({row, account, isOpen, isAimed, startsTransaction, onToggle}) {
  const {event, cursor} = row;
  const place = useRef(null);
  const position = positionOf(event);
  const href = cursor && position
    ? `#/account?${accountQuery(account)}&from=${encodeURIComponent(cursor)}&at=${
        encodeURIComponent(position)}` : null;
  useEffect(() => {
    if (isAimed) place.current.scrollIntoView({block: 'center'});
  }, [isAimed]);
  const at = event.commit_ts ? Date.parse(event.commit_ts) : row.at;
  return html`<tr ref=${place} data-op=${event.op} data-position=${position}
      class="change ${event.op} ${startsTransaction ? 'first' : ''} ${isAimed ? 'aimed' : ''}">
    <td class="number"><button type="button" class="open" aria-expanded=${isOpen}
      aria-label=${`Details of ${event.op} at ${position ?? clock(at)}`} onClick=${onToggle}>
      <span aria-hidden="true">${isOpen ? '▾' : '▸'}</span></button>
      <time dateTime=${event.commit_ts} title=${exactTime(at)}>${clock(at)}<span class="milliseconds">${
        clock(at, true).slice(8)}</span></time></td>
    <td><span class="op ${event.op}"><span aria-hidden="true">${MARKS[event.op] ?? '·'}</span>${
      event.op.toUpperCase().replace('_', ' ')}</span>
      <span class="under"><code>${tableOf(event)}</code></span></td>
    <td class="key-cell"><code>${tableOf(event)}</code></td>
    <td class="changed"><${Changed} event=${event}/>
      ${['moved', 'unrouted', 'malformed'].filter((name) => event[name]).map((name) => html`
        <${Badge} severity=${name === 'malformed' ? 'error' : 'note'}>${name}</${Badge}>`)}</td>
    <td class="lsn">${href ? html`<a href=${href} title="A link to this change"><code>${
      position}</code></a>` : html`<code>${position ?? NONE}</code>`}</td></tr>
    ${isOpen && html`<tr class="opened"><td colspan="5"><${Details} event=${event} href=${href}/></td></tr>`}`;
}

function matches(event, table, ops, text) {
  if (table && tableOf(event) !== table) return false;
  if (ops.length > 0 && !ops.includes(event.op)) return false;
  return !text || JSON.stringify(event).toLowerCase().includes(text);
}

const STANDING = {
  joining: ['note', 'Joining…'], live: ['ok', 'Live'], lost: ['error', 'Interrupted']};

export function Tail({account}) {
  const [, draw] = useState(0);
  const [table, setTable] = useKept('table');
  const [opText, setOpText] = useKept('op');
  const [text, setText] = useKept('text');
  const [opened, setOpened] = useState(new Set());
  const aim = useMemo(() => parse().query.get('at'), []);
  const stream = useMemo(() => {
    // Drawn once for all batches that come together.
    let isDue = false;
    return new TailStream(account, parse().query.get('from'), () => {
      if (isDue) return;
      isDue = true;
      setTimeout(() => {
        isDue = false;
        draw((n) => n + 1);
      }, 30);
    });
  }, []);
  useEffect(() => () => stream.close(), []);
  const ops = opText ? opText.split(',') : [];
  const toggleOp = (op) => setOpText(OPS.filter((each) => (each === op) !== ops.includes(each))
    .join(','));
  const toggleRow = (id) => {
    const next = new Set(opened);
    if (!next.delete(id)) next.add(id);
    setOpened(next);
  };
  const {rows, waiting, isPaused, standing, notice, leftOut} = stream;
  const shown = rows.filter(({event}) => matches(event, table, ops, text.toLowerCase()));
  const [severity, word] = STANDING[standing];
  const paused = isPaused ? `Resume (${count(waiting.length)} waiting)` : 'Pause';
  const isFiltered = table || ops.length > 0 || text;
  const from = parse().query.get('from');
  const toNow = () => {
    keep({from: '', at: ''});
    location.hash = `#/account?${accountQuery(account)}`;
    location.reload();
  };
  return html`<section class="panel tail" aria-labelledby="tail">
    <header><h2 id="tail">Live tail</h2>
      <span role="status"><${Badge} severity=${isPaused ? 'note' : severity}>${
        isPaused ? 'Paused' : word}</${Badge}></span>
      <div class="actions"><button type="button" data-key="p" aria-pressed=${isPaused}
          class=${isPaused ? 'primary' : ''} onClick=${() => stream.pause(!isPaused)}>${paused}</button>
        <button type="button" onClick=${() => stream.clear()}>Clear</button></div></header>
    <div class="filters">
      <${Search} label="Filter by text" value=${text} onInput=${setText}/>
      <${Choice} label="Table" value=${table} onChange=${setTable} options=${[['', 'all tables'],
        ...[...new Set([...stream.tables, ...(table ? [table] : [])])].sort()
          .map((name) => [name, name])]}/>
      <div class="toggles" role="group" aria-label="Operations">${OPS.map((op) => html`
        <button type="button" class="small op ${op}" aria-pressed=${ops.includes(op)}
          onClick=${() => toggleOp(op)}><span aria-hidden="true">${MARKS[op]}</span>${
          op.toUpperCase()}</button>`)}</div></div>
    ${notice && html`<p class="trouble" role="alert"><${Icon} severity="error"/><span>${
      notice.error} ${notice.hint} It tries again by itself.</span></p>`}
    ${from && html`<p class="hint">From a position on. <button type="button" class="small"
      onClick=${toNow}>From now on</button></p>`}
    ${leftOut > 0 && html`<p class="hint" role="status">${plural(leftOut, 'change')} came too fast or
      while this was paused, and ${leftOut === 1 ? 'is' : 'are'} not shown.</p>`}
    <div class="scroll" tabindex="0" role="region" aria-label="Changes, the newest first">
      <table><thead><tr><th scope="col">Committed</th><th scope="col">Operation</th>
        <th scope="col">Table</th><th scope="col">What changed</th><th scope="col">Position</th>
      </tr></thead><tbody>
      ${shown.map((row, index) => html`<${Row} key=${row.id} row=${row} account=${account}
        isOpen=${opened.has(row.id)} isAimed=${aim !== null && positionOf(row.event) === aim}
        startsTransaction=${shown[index - 1]?.event.commit_lsn !== row.event.commit_lsn}
        onToggle=${() => toggleRow(row.id)}/>`)}
      ${shown.length === 0 && html`<tr class="empty"><td colspan="5">${rows.length && isFiltered
        ? `None of ${plural(rows.length, 'change')} fits the filters.`
        : standing === 'live' ? 'It is joined. Changes appear here as they are committed.'
        : 'Joining the account’s stream…'}</td></tr>`}
      </tbody></table></div>
    <p class="hint">${isFiltered ? `${count(shown.length)} of ` : ''}${
      plural(rows.length, 'change')}${rows.length >= MOST ? `, the newest ${MOST}` : ''}</p></section>`;
}
