// WAL that the slot keeps, over time, against its limit. uPlot draws on a canvas; what it shows is
// also said in words beside it.
import {html, useEffect, useRef, useState} from './vendor/htm-preact.js';
import uPlot from './vendor/uPlot.esm.js';
import {bytes, clock} from './format.js';

const SECONDS = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const LEAST_SPAN = 120;  // s: a new console's first points are no whole width

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// A limit far above what is kept would press the line to the ground.
export function showsLimit(most, limit) {
  return limit !== null && limit <= 6 * most;
}

function columns(points) {
  return [
    points.map((point) => point.at / 1000),
    points.map((point) => point.retained_bytes),
    points.map((point) => point.lag_bytes),
    points.map((point) => point.limit_bytes),
  ];
}

function options({clientWidth, clientHeight}, withLimit, setCursor) {
  const axis = {
    stroke: colour('muted'),
    grid: {stroke: colour('grid'), width: 1},
    ticks: {show: false},
    font: '12px system-ui, sans-serif',
  };
  const line = (name, more = {}) => ({
    stroke: colour(name), width: 1.5, points: {show: false}, ...more});
  return {
    width: clientWidth,
    height: clientHeight,
    legend: {show: false},
    padding: [10, 26, 0, 0],
    cursor: {y: false, points: {size: 7}, drag: {x: false, y: false}},
    scales: {
      x: {range: (_, least, most) => [Math.min(least, most - LEAST_SPAN), most]},
      y: {range: (_, __, most) => [0, Math.max(1000, (most ?? 0) * 1.12)]},
    },
    axes: [
      {...axis, size: 26, space: 70, incrs: SECONDS,
       values: (_, marks, __, ___, step) => marks.map((at) => {
         const text = clock(at * 1000);
         return step < 60 ? text : text.slice(0, 5);
       })},
      {...axis, size: 64, space: 40,
       values: (_, marks) => marks.map((mark) => mark === 0 ? '0' : bytes(mark))},
    ],
    series: [
      {},
      line('accent', {fill: colour('accent-wash')}),
      line('muted', {dash: [3, 3]}),
      line('error', {dash: [8, 4], show: withLimit}),
    ],
    hooks: {setCursor: [(chart) => setCursor(chart.cursor.idx ?? null)]},
  };
}

export function RetainedChart({points}) {
  const box = useRef(null);
  const chart = useRef(null);
  const shown = useRef(points);
  const [at, setAt] = useState(null);
  const [wantsLimit, setWantsLimit] = useState(null);
  shown.current = points;
  const last = points[points.length - 1];
  const most = Math.max(0, ...points.map((point) => point.retained_bytes ?? 0));
  const limit = last?.limit_bytes ?? null;
  const withLimit = limit !== null && (wantsLimit ?? showsLimit(most, limit));

  useEffect(() => {
    const draw = () => {
      chart.current?.destroy();
      chart.current = new uPlot(
        options(box.current, withLimit, setAt), columns(shown.current), box.current);
    };
    draw();
    const resized = new ResizeObserver(() => chart.current.setSize(
      {width: box.current.clientWidth, height: box.current.clientHeight}));
    resized.observe(box.current);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', draw);
    addEventListener('fatwal-theme', draw);
    return () => {
      resized.disconnect();
      scheme.removeEventListener('change', draw);
      removeEventListener('fatwal-theme', draw);
      chart.current.destroy();
      chart.current = null;
    };
  }, [withLimit]);

  // `points` is one array that grows: what tells a new point is the last one.
  useEffect(() => chart.current?.setData(columns(points)), [last?.at, points.length]);

  const point = at !== null && points[at] ? points[at] : last;
  const words = last
    ? `WAL kept by the slot over the last ${Math.max(1, Math.round(
        (last.at - points[0].at) / 60000))} min: now ${bytes(last.retained_bytes)}, at most ${
        bytes(most)}${limit !== null ? `, limit ${bytes(limit)}` : ''}.`
    : 'No points yet.';
  return html`<div class="chart">
    <div class="readout"><span class="number">${point ? clock(point.at) : ''}</span>
      <span class="key-line kept">kept <b class="number">${bytes(point?.retained_bytes)}</b></span>
      <span class="key-line behind">behind <b class="number">${bytes(point?.lag_bytes)}</b></span>
      ${limit !== null && html`<span class="key-line limit ${withLimit ? '' : 'off'}">limit ${' '}
        <b class="number">${bytes(limit)}</b></span>
        <button type="button" class="small" aria-pressed=${withLimit}
          onClick=${() => setWantsLimit(!withLimit)}>Scale to the limit</button>`}
    </div>
    <div ref=${box} class="canvas" role="img" aria-label=${words}></div></div>`;
}
