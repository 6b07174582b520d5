// What the console sends by itself: the state once a second, the history and the events, from one
// stream of server-sent events. Everything here has a bound.
//
// `live` is the one copy; components read it by useLive(), which draws them again at each change.
// EventSource's own retry is not used: it does not say that login is needed, and it does not
// notice a connection that is silent.
import {useEffect, useState} from './vendor/htm-preact.js';

const MOST_POINTS = 1800;
const MOST_EVENTS = 1000;
const POINT_EVERY = 1900;  // ms; points of the history are 2 s apart
const SILENT = 5000;  // ms; a state comes each second
const PAUSES = [500, 1000, 2000, 4000];  // ms between attempts
const HIDDEN = 30000;  // ms; then a hidden page gives its connection back: a browser has six

export const live = {
  connection: 'connecting',  // 'live', 'lost', 'login'
  lostSince: null,
  reason: '',
  state: null,
  receivedAt: null,  // by this machine's clock
  points: [],
  events: [],
};

const watchers = new Set();
let source = null;
let timer = null;
let attempts = 0;
let areEventsOld = false;

function changed() {
  for (const watcher of watchers) watcher();
}

export function useLive() {
  const [, draw] = useState(0);
  useEffect(() => {
    const watcher = () => draw((n) => n + 1);
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  }, []);
  return live;
}

// Seconds since the state came, by which countdowns tick. They stand still while the connection is
// lost, as nothing is known then.
export function sinceState() {
  if (!live.receivedAt || live.connection !== 'live') return 0;
  return Math.max(0, (Date.now() - live.receivedAt) / 1000);
}

// The console's clock: times of the API are its times.
export function now() {
  return live.state ? live.state.now + (Date.now() - live.receivedAt) : Date.now();
}

function addPoint(point) {
  const last = live.points[live.points.length - 1];
  if (!point.at || (last && point.at - last.at < POINT_EVERY)) return;
  live.points.push(point);
  if (live.points.length > MOST_POINTS) live.points.splice(0, live.points.length - MOST_POINTS);
}

function stop() {
  if (source) source.close();
  source = null;
  clearTimeout(timer);
}

function lost(reason) {
  stop();
  if (live.connection !== 'lost') {
    live.lostSince = Date.now();
    live.connection = 'lost';
  }
  live.reason = reason;
  changed();
  // An EventSource does not tell the status of the answer.
  fetch('/api/channels', {cache: 'no-store'}).then(
    (answer) => answer.status === 401 && needLogin(), () => {});
  timer = setTimeout(connect, PAUSES[Math.min(attempts++, PAUSES.length - 1)]);
}

function expectMore() {
  clearTimeout(timer);
  timer = setTimeout(() => lost('it is silent'), SILENT);
}

export function needLogin() {
  stop();
  live.connection = 'login';
  changed();
}

export function connect() {
  stop();
  source = new EventSource('/api/events');
  areEventsOld = true;
  expectMore();
  source.addEventListener('error', () => lost('it cannot be reached'));
  source.addEventListener('history', (event) => {
    live.points = JSON.parse(event.data).points.slice(-MOST_POINTS);
    changed();
  });
  source.addEventListener('happened', (event) => {
    const known = areEventsOld ? [] : live.events;
    areEventsOld = false;
    live.events = known.concat(JSON.parse(event.data)).slice(-MOST_EVENTS);
    changed();
  });
  source.addEventListener('state', (event) => {
    live.state = JSON.parse(event.data);
    live.receivedAt = Date.now();
    live.connection = 'live';
    live.lostSince = null;
    attempts = 0;
    // The delays are not part of the history, so their lines begin with this page.
    const {publish_p50_ms, publish_p99_ms} = live.state.flow;
    addPoint({...live.state.point, publish_p50_ms, publish_p99_ms});
    expectMore();
    changed();
  });
}

let hiding = null;
document.addEventListener('visibilitychange', () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => live.connection === 'live' && stop(), HIDDEN);
  else if (!source && live.connection !== 'login') connect();
});
