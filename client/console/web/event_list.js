// Lines of fatwald's log, the newest first.
import {html} from './vendor/htm-preact.js';
import {clock, exactTime} from './format.js';
import {Badge} from './parts.js';

export function EventList({events, withEndpoint = false, empty}) {
  if (events.length === 0) return html`<p class="nothing">${empty}</p>`;
  return html`<ol class="events">${events.map((event) => html`<li key=${event.id}
      class=${event.level}>
    <time dateTime=${new Date(event.at).toISOString()} title=${exactTime(event.at)}
      class="number">${clock(event.at)}</time>
    <${Badge} severity=${event.level}>${event.level}</${Badge}>
    <span class="text">${event.text}${withEndpoint && html` <small class="muted">${
      event.endpoint}</small>`}</span></li>`)}</ol>`;
}
