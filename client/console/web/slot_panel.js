// The slot against its limits: what Postgres keeps for it, when fatwald drops a durable subscriber
// for that, and when Postgres may take the WAL away.
import {html} from './vendor/htm-preact.js';
import {bytes, duration, NONE} from './format.js';
import {Badge, Bytes, Meter, When} from './parts.js';

const WAL_STATUS = {
  reserved: ['ok', 'Postgres keeps all WAL that the slot needs.'],
  extended: ['ok', 'The slot keeps more WAL than max_wal_size, within its limit.'],
  unreserved: ['error', 'Postgres may take the WAL of the slot away at the next checkpoint.'],
  lost: ['error', 'Postgres has taken WAL away that the slot needs. The slot is of no use.'],
};

function share(value, limit) {
  if (value === null || !limit) return 'ok';
  return value >= 0.9 * limit ? 'error' : value >= 0.75 * limit ? 'warning' : 'ok';
}

function Against({name, title, value, limit, unlimited}) {
  return html`<div class="against" title=${title}><div><span>${name}</span><span class="number">${limit
    ? html`<${Bytes} of=${value}/> of <${Bytes} of=${limit}/>` : unlimited}</span></div>
    <${Meter} label=${name} value=${value} limit=${limit ?? 0} severity=${share(value, limit)}/></div>`;
}

// `isBrief`: without the positions.
export function SlotPanel({state, isBrief = false}) {
  const {slot, retention, database_failure: failure} = state;
  if (!slot) {
    return html`<p class="nothing">${failure === null
      ? html`The console was started without <code>--database</code>, so the slot cannot be read. ${
          ''}What fatwald says of it stands in <a href="#/slot">Slot and settings</a>.`
      : failure || 'There is no such slot on the server.'}</p>`;
  }
  const [severity, meaning] = WAL_STATUS[slot.wal_status] ?? ['note', ''];
  const most = slot.max_slot_wal_keep_size;
  return html`<div class="slot">
    <div class="amount"><strong class="big number" title=${`${slot.retained_bytes} bytes`}
        data-figure="retained_bytes">${bytes(slot.retained_bytes)}</strong>
      <span>of WAL kept by <code>${slot.name}</code></span>
      <${Badge} severity=${severity} title=${meaning}>${slot.wal_status}</${Badge}></div>
    ${slot.invalidation_reason && html`<p class="error-text">Invalidated: ${
      slot.invalidation_reason}</p>`}
    <${Against} name="limit for durable subscribers"
      title="Beyond it fatwald drops the durable subscriber that holds the slot back" value=${slot.retained_bytes}
      limit=${retention.bytes}
      unlimited=${state.active === null ? 'not known while no fatwald answers' : 'no limit in bytes'}/>
    <${Against} name="limit of the server"
      title="Beyond max_slot_wal_keep_size Postgres takes the WAL away, and the slot is lost" value=${slot.retained_bytes}
      limit=${most} unlimited="max_slot_wal_keep_size is not set"/>
    <dl class="facts">
      <div><dt>may still be written</dt><dd>${slot.safe_wal_size === null ? 'without limit'
        : html`<${Bytes} of=${slot.safe_wal_size}/>`}</dd></div>
      <div><dt>a durable subscriber may hold it for</dt><dd class="number">${
        retention.seconds === null ? NONE : duration(retention.seconds)}</dd></div>
      <div><dt>read by</dt><dd>${slot.active ? `process ${slot.active_pid}` : 'nobody'}</dd></div>
      ${!isBrief && html`
      <div><dt>restart</dt><dd><code data-figure="restart_lsn">${slot.restart_lsn ?? NONE}</code></dd></div>
      <div><dt>confirmed</dt><dd><code data-figure="confirmed_flush_lsn">${
        slot.confirmed_flush_lsn ?? NONE}</code></dd></div>
      <div><dt>database now</dt><dd><code data-figure="current_lsn">${slot.current_lsn}</code></dd></div>
      <div><dt>behind</dt><dd><${Bytes} of=${slot.behind_bytes}/></dd></div>
      <div><dt>read from Postgres</dt><dd><${When} at=${slot.at}/></dd></div>`}
    </dl></div>`;
}
