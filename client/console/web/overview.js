// The first screen: is it well, and if not, what mends it.
import {html} from './vendor/htm-preact.js';
import {live} from './live.js';
import {bytes, bytesPerSecond, milliseconds, perSecond} from './format.js';
import {Icon, Mend, Panel, severityOf, Spark} from './parts.js';
import {Flow} from './flow.js';
import {Holds, lasting} from './holds.js';
import {RetainedChart} from './chart.js';
import {SlotPanel} from './slot_panel.js';
import {EventList} from './event_list.js';

const RECENT = 6;
const SPARK_POINTS = 150;  // 5 min
const SHOWN_HOLDS = 8;

export function Verdict({verdict}) {
  const severity = severityOf(verdict.severity);
  return html`<section class="verdict ${severity}" aria-label="Verdict">
    <${Icon} severity=${severity} label=${severity}/>
    <div><div role="status" aria-live="polite"><h1>${verdict.sentence}</h1></div>
      ${verdict.advice && html`<p>${verdict.advice}</p>`}
      <${Mend} text=${verdict.mend}/></div></section>`;
}

function Tile({name, value, unit, values, title}) {
  return html`<div class="tile" title=${title}><span>${name}</span>
    <strong class="number">${value}${unit && html` <small>${unit}</small>`}</strong>
    <${Spark} values=${values}/></div>`;
}

const atMost = (of) => typeof of === 'number' ? `≤ ${milliseconds(of)}` : milliseconds(of);

function Rates({flow}) {
  const recent = live.points.slice(-SPARK_POINTS);
  const of = (name) => recent.map((point) => point[name]);
  return html`<div class="tiles">
    <${Tile} name="Changes" value=${perSecond(flow.changes_s)} unit="/s" values=${of('changes_s')}
      title="Changes that fatwald publishes"/>
    <${Tile} name="Frames" value=${perSecond(flow.frames_s)} unit="/s" values=${of('frames_s')}
      title="One frame for each account of a transaction, or more"/>
    <${Tile} name="Sent" value=${bytesPerSecond(flow.sent_bytes_s)} values=${of('bytes_s')}
      title="Bytes that go to the accounts' sockets"/>
    <${Tile} name="Delay, median" value=${atMost(flow.publish_p50_ms)}
      values=${of('publish_p50_ms')} title="From COMMIT to published: half of the changes take no longer"/>
    <${Tile} name="Delay, 99 of 100" value=${atMost(flow.publish_p99_ms)}
      values=${of('publish_p99_ms')} title="From COMMIT to published: 99 of 100 changes take no longer"/>
    <${Tile} name="Behind Postgres" value=${bytes(flow.lag_published_bytes)}
      values=${of('lag_bytes')} title="WAL between what is published and what is written"/>
  </div>`;
}

export function Overview() {
  const {state, points, events} = live;
  const holds = lasting(state.holds);
  const moments = state.holds.length - holds.length;
  return html`<${Verdict} verdict=${state.verdict}/>
    <div class="columns">
      <${Panel} id="slot" title="The slot against its limits" kind="narrow">
        <${SlotPanel} state=${state} isBrief=${true}/></${Panel}>
      <${Panel} id="holds" title="Who holds it back" kind="wide holds" note=${[
          holds.length > SHOWN_HOLDS ? `the worst ${SHOWN_HOLDS} of ${holds.length}`
            : 'the worst first',
          moments > 0 ? `and ${moments} for a moment` : ''].filter(Boolean).join(', ')}>
        <${Holds} holds=${holds} retention=${state.retention}
          isKnown=${state.active !== null} limit=${SHOWN_HOLDS}/></${Panel}>
    </div>
    <${Panel} id="rates" title="Rates and delays" note="the lines are the last 5 minutes">
      <${Rates} flow=${state.flow}/></${Panel}>
    <${Panel} id="flow" title="The way of a change"><${Flow} state=${state}/></${Panel}>
    <div class="columns">
      <${Panel} id="retained" title="WAL kept by the slot" kind="wide" note="the last hour">
        <${RetainedChart} points=${points}/></${Panel}>
      <${Panel} id="events" title="Recent events" kind="narrow"
        actions=${html`<a href="#/events">All events</a>`}>
        <${EventList} events=${events.slice(-RECENT).reverse()}
          empty="fatwald has logged nothing yet."/></${Panel}>
    </div>`;
}
