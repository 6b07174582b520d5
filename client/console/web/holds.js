// Who holds the slot back, the worst first, and until when.
import {html} from './vendor/htm-preact.js';
import {bytes, countdown, duration, NONE} from './format.js';
import {sinceState} from './live.js';
import {Account, Bytes, Icon, Table, useTick} from './parts.js';
import {Forget} from './forget.js';

const KINDS = {
  'absent': 'away',
  'unacknowledged': 'has not acknowledged',
  'replay': 'is being sent what it missed',
  'snapshot reader': 'reads a snapshot',
  'snapshot': 'is being read',
};

// Every durable subscriber holds WAL for the moment between a change and its acknowledgement, which
// is none of an operator's business.
const MOMENT = 5;  // s

export function lasting(holds) {
  return holds.filter((hold) => hold.kind === 'absent' || hold.held_seconds >= MOMENT);
}

// By what is left of the retention: a quarter is a warning, a tenth an error.
export function severityOfHold(hold, retention) {
  const left = [];
  if (hold.dropped_in_seconds !== null && retention.seconds)
    left.push(hold.dropped_in_seconds / retention.seconds);
  if (hold.dropped_after_bytes !== null && retention.bytes)
    left.push(hold.dropped_after_bytes / retention.bytes);
  const least = Math.min(1, ...left);
  return least <= 0.1 ? 'error' : least <= 0.25 ? 'warning' : 'note';
}

function Left({hold, severity}) {
  if (hold.dropped_in_seconds === null && hold.dropped_after_bytes === null)
    return html`<span class="muted">ends by itself</span>`;
  const seconds = hold.dropped_in_seconds === null ? null
    : hold.dropped_in_seconds - sinceState();
  return html`<span class="left ${severity}"><b class="number countdown">${
    seconds === null ? NONE : countdown(seconds)}</b>
    ${hold.dropped_after_bytes !== null && html`<small>or after ${
      bytes(hold.dropped_after_bytes)}</small>`}</span>`;
}

// `isKnown`: a fatwald answers. Otherwise nobody knows who holds the slot back.
export function Holds({holds, retention, isKnown = true, limit = Infinity}) {
  useTick();
  const canForget = (hold) => hold.name !== null &&
    (hold.kind === 'absent' || hold.kind === 'unacknowledged' || hold.kind === 'replay');
  const columns = [
    {head: 'Subscriber', cell: (hold) => html`<span class="who"><${Icon}
        severity=${severityOfHold(hold, retention)} label=${severityOfHold(hold, retention)}/>
      <b>${hold.name ?? 'a snapshot'}</b></span>
      <span class="under">${KINDS[hold.kind] ?? hold.kind} ·${' '}
        <${Account} of=${hold.account}/></span>`},
    {head: 'Dropped in', kind: 'number', cell: (hold) => html`<${Left} hold=${hold}
      severity=${severityOfHold(hold, retention)}/>`},
    {head: 'Behind', kind: 'number', cell: (hold) => html`<${Bytes} of=${hold.behind_bytes}/>
      <span class="under" title="The WAL from here on is kept for it"><code>${
        hold.from}</code></span>`},
    {head: 'For', kind: 'number', cell: (hold) => duration(hold.held_seconds + sinceState())},
    {head: html`<span class="hidden">Action</span>`, kind: 'action',
     cell: (hold) => canForget(hold) && html`<${Forget} subscriber=${{
       account: hold.account, name: hold.name, behind: hold.behind_bytes,
       isAttached: hold.kind !== 'absent', droppedIn: hold.dropped_in_seconds}}/>`},
  ];
  if (!isKnown) {
    return html`<p class="nobody"><${Icon} severity="warning"/> Unknown while no fatwald answers. ${''}A
      durable subscriber may still hold the slot back.</p>`;
  }
  if (holds.length === 0) {
    return html`<p class="nobody"><${Icon} severity="ok"/> Nobody holds the slot back.</p>`;
  }
  return html`<${Table} label="Who holds the slot back" columns=${columns}
    rows=${holds.slice(0, limit)}
    keyOf=${(hold) => `${hold.account} ${hold.name} ${hold.kind} ${hold.from}`}
    classOf=${(hold) => `hold ${severityOfHold(hold, retention)}`}/>`;
}
