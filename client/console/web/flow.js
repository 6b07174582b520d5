// The way of a change as a picture: five stations, with the rate above and the lag below each
// arrow. It is a list, so that it reads in order without the picture; on a narrow screen it stands
// upright.
import {html} from './vendor/htm-preact.js';
import {bytes, bytesPerSecond, count, milliseconds, NONE, perSecond, plural} from './format.js';
import {Icon} from './parts.js';

function Arrow({rate, unit, lag, moves, title}) {
  return html`<li class="arrow ${moves ? 'moves' : ''}" title=${title}>
    <span class="rate number">${rate}${unit && html` <small>${unit}</small>`}</span>
    <svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
      <line x1="0" y1="6" x2="100" y2="6"/></svg>
    <span class="lag number">${lag}</span></li>`;
}

function Station({name, severity, value, detail, mark}) {
  return html`<li class="station ${severity ?? ''}">
    <span class="mark" aria-hidden="true">${mark}</span>
    <span class="name">${name}${severity && severity !== 'ok' && html` <${Icon}
      severity=${severity} label=${severity}/>`}</span>
    <strong class="number">${value}</strong><span class="detail">${detail}</span></li>`;
}

const MARKS = {
  postgres: html`<svg viewBox="0 0 24 24"><ellipse cx="12" cy="5.5" rx="7.5" ry="3"/>
    <path d="M4.5 5.5v13c0 1.7 3.4 3 7.5 3s7.5-1.3 7.5-3v-13M4.5 12c0 1.7 3.4 3 7.5 3s7.5-1.3
      7.5-3"/></svg>`,
  slot: html`<svg viewBox="0 0 24 24"><rect x="3" y="4" width="18" height="16" rx="2.5"/>
    <path d="M8 4v16M13 9h4M13 13h4"/></svg>`,
  fatwald: html`<svg viewBox="0 0 24 24"><rect x="4" y="4" width="16" height="16" rx="4"/>
    <path d="M10 17V8h5M10 12.5h4"/></svg>`,
  accounts: html`<svg viewBox="0 0 24 24"><rect x="3" y="3" width="7.5" height="7.5" rx="1.5"/>
    <rect x="13.5" y="3" width="7.5" height="7.5" rx="1.5"/>
    <rect x="3" y="13.5" width="7.5" height="7.5" rx="1.5"/>
    <rect x="13.5" y="13.5" width="7.5" height="7.5" rx="1.5"/></svg>`,
  subscribers: html`<svg viewBox="0 0 24 24"><circle cx="12" cy="8" r="4"/>
    <path d="M4.5 21c.6-4.3 3.6-6.5 7.5-6.5s6.900 2.200 7.500 6.500"/></svg>`,
};

const SLOT_SEVERITY = {reserved: 'ok', extended: 'ok', unreserved: 'error', lost: 'error'};

function behind(of) {
  if (of === null || of === undefined) return NONE;
  return of === 0 ? 'up to date' : `${bytes(of)} behind`;
}

export function Flow({state}) {
  const {flow, slot, active, fatwalds} = state;
  const fatwald = active === null ? null : fatwalds[active];
  const standing = fatwald?.state ??
    (fatwalds.some((each) => !each.failure) ? 'not streaming' : 'no answer');
  const delay = typeof flow.publish_p50_ms !== 'number' ? 'no changes lately'
    : `${milliseconds(flow.publish_p50_ms)} · p99 ${milliseconds(flow.publish_p99_ms)}`;
  return html`<div class="flow"><ol>
    <${Station} mark=${MARKS.postgres} name="Postgres" value=${slot?.database ?? NONE}
      detail=${slot ? slot.current_lsn : 'not read'}/>
    <${Arrow} rate=${bytesPerSecond(flow.wal_bytes_s)} moves=${flow.wal_bytes_s > 0}
      lag="WAL written" title="WAL that Postgres writes, of all databases of the server"/>
    <${Station} mark=${MARKS.slot} name="Slot" severity=${slot ? SLOT_SEVERITY[slot.wal_status]
      : null} value=${bytes(slot?.retained_bytes)} detail=${slot ? `kept · ${slot.wal_status}`
      : 'not read'}/>
    <${Arrow} rate=${bytesPerSecond(flow.received_bytes_s)} moves=${flow.received_bytes_s > 0}
      lag=${behind(flow.lag_received_bytes)}
      title="What fatwald receives from the slot, and how far that is behind the database"/>
    <${Station} mark=${MARKS.fatwald} name="fatwald" value=${standing}
      severity=${standing === 'streaming' ? 'ok' : 'error'}
      detail=${flow.published_lsn ?? NONE}/>
    <${Arrow} rate=${perSecond(flow.changes_s)} unit="changes/s" moves=${flow.changes_s > 0}
      lag=${behind(flow.lag_published_bytes)}
      title="Changes that fatwald publishes, and how far that is behind the database"/>
    <${Station} mark=${MARKS.accounts} name="Accounts" value=${count(flow.accounts)}
      detail=${`${perSecond(flow.frames_s)} frames/s`}/>
    <${Arrow} rate=${bytesPerSecond(flow.sent_bytes_s)} moves=${flow.sent_bytes_s > 0}
      lag=${delay} title="Bytes that go to the accounts' sockets; the time from COMMIT that half of the changes
        and that 99 of 100 do not exceed"/>
    <${Station} mark=${MARKS.subscribers} name="Subscribers" value=${count(flow.subscribers)}
      detail=${`${count(flow.durable)} durable`}/>
  </ol>
  <p class="back"><span>acknowledged back to the slot: confirmed ${' '}
    <code>${flow.confirmed_lsn ?? NONE}</code>, ${behind(flow.lag_confirmed_bytes)}</span></p></div>`;
}
