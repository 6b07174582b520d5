// The parts of which pages are made.
import {html, useEffect, useLayoutEffect, useRef, useState} from './vendor/htm-preact.js';
import {accountName, accountQuery, ago, bytes, exactBytes, exactTime, NONE} from './format.js';
import {now} from './live.js';

// Shapes, so that a severity is known without its colour.
const SHAPES = {
  ok: html`<circle cx="8" cy="8" r="7"/><path class="mark" d="M4.8 8.2l2.2 2.2 4.2-4.6"/>`,
  note: html`<circle cx="8" cy="8" r="7"/><path class="mark" d="M8 7.4v4M8 4.5v.4"/>`,
  warning: html`<path d="M8 1.2l7 13H1z"/><path class="mark" d="M8 6v4M8 12v.3"/>`,
  error: html`<path d="M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z"/>
    <path class="mark" d="M5.4 5.4l5.2 5.2M10.6 5.4l-5.2 5.2"/>`,
};
const SEVERITY_OF = {info: 'note', critical: 'error'};

export function severityOf(level) {
  return SHAPES[level] ? level : SEVERITY_OF[level] ?? 'note';
}

export function Icon({severity, label}) {
  const shape = severityOf(severity);
  return html`<svg class="icon ${shape}" viewBox="0 0 16 16" width="16" height="16"
      role=${label ? 'img' : null} aria-label=${label} aria-hidden=${label ? null : 'true'}>
    ${SHAPES[shape]}</svg>`;
}

export function Badge({severity, children, title}) {
  return html`<span class="badge ${severity ? severityOf(severity) : 'plain'}" title=${title}>
    ${severity && html`<${Icon} severity=${severity}/>`}${children}</span>`;
}

export function Bytes({of}) {
  return html`<span class="number ${of === 0 ? 'zero' : ''}" title=${exactBytes(of)}>${
    of === 0 ? '0' : bytes(of)}</span>`;
}

export function When({at}) {
  if (!at) return NONE;
  return html`<time dateTime=${new Date(at).toISOString()} title=${exactTime(at)}>${
    ago(at, now())}</time>`;
}

export function Account({of}) {
  const name = accountName(of);
  return html`<a class="key" href=${`#/account?${accountQuery(of)}`} title=${name}>${name}</a>`;
}

// A title with what stands at its right.
export function Panel({title, note, actions, children, id, kind = ''}) {
  return html`<section class="panel ${kind}" aria-labelledby=${id}>
    <header><h2 id=${id}>${title}</h2>${note && html`<p class="note">${note}</p>`}
      ${actions && html`<div class="actions">${actions}</div>`}</header>
    ${children}</section>`;
}

// A table in a box of its own, which scrolls where the screen is narrow. `columns`: {head, cell,
// kind ('number', 'wide'), sort}; `sort`: {by, set}.
export function Table({label, columns, rows, keyOf, empty, sort, classOf = () => ''}) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.kind ?? ''}
        aria-sort=${column.sort ? (sort?.by === column.sort
          ? (column.kind === 'number' ? 'descending' : 'ascending') : 'none') : null}>
      ${column.sort
        ? html`<button type="button" class="sort" onClick=${() => sort.set(column.sort)}>${
            column.head}</button>`
        : column.head}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${keyOf(row)} class=${classOf(row)}>
      ${columns.map((column, index) => index === 0 && !column.kind
        ? html`<th scope="row">${column.cell(row)}</th>`
        : html`<td class=${column.kind ?? ''}>${column.cell(row)}</td>`)}</tr>`)}
      ${rows.length === 0 && html`<tr class="empty"><td colspan=${columns.length}>${
        empty}</td></tr>`}</tbody>
  </table></div>`;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Beyond this machine, without TLS, browsers have no clipboard for pages.
    const field = document.createElement('textarea');
    field.value = text;
    const open = document.querySelector('dialog[open]') ?? document.body;
    open.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
}

export function Copy({text, label = 'Copy'}) {
  const [isDone, set] = useState(false);
  const click = async () => {
    await copy(text);
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return html`<button type="button" class="small" onClick=${click} title=${`Copy: ${text}`}>
    <span aria-live="polite">${isDone ? 'Copied' : label}</span></button>`;
}

// The statement or command that mends something.
export function Mend({text}) {
  if (!text) return null;
  return html`<div class="mend"><code>${text}</code><${Copy} text=${text}/></div>`;
}

export function Trouble({failure}) {
  if (!failure) return null;
  return html`<div class="trouble" role="alert"><${Icon} severity="error"/>
    <div><strong>${failure.message ?? failure.error}</strong>
      ${failure.hint && html`<p>${failure.hint}</p>`}</div></div>`;
}

// The width is set from here, as the policy of the page allows no style in the text of HTML.
export function Meter({value, limit, label, severity = 'ok'}) {
  const bar = useRef(null);
  const share = limit > 0 && value !== null ? Math.min(1, value / limit) : 0;
  useLayoutEffect(() => {
    bar.current.style.width = `${share > 0 ? Math.max(0.4, share * 100) : 0}%`;
  }, [share]);
  return html`<div class="meter ${severity}" role="meter" aria-label=${label} aria-valuemin="0"
    aria-valuemax="100" aria-valuenow=${Math.round(share * 100)}><div ref=${bar}></div></div>`;
}

// A modal dialog: the browser keeps the focus in it, and Escape closes it.
export function Dialog({title, onClose, children, kind = ''}) {
  const dialog = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.focus?.();
  }, []);
  return html`<dialog ref=${dialog} class=${kind} aria-labelledby="dialog-title"
      onCancel=${(event) => { event.preventDefault(); onClose(); }}
      onClick=${(event) => event.target === dialog.current && onClose()}>
    <div class="dialog"><h2 id="dialog-title">${title}</h2>${children}</div></dialog>`;
}

export function Search({value, onInput, label, placeholder}) {
  return html`<label class="search"><span class="hidden">${label}</span>
    <input type="search" data-search value=${value} placeholder=${placeholder ?? label}
      autocomplete="off" spellcheck=${false} onInput=${(event) => onInput(event.target.value)}/>
    <kbd aria-hidden="true">/</kbd></label>`;
}

export function Choice({label, value, options, onChange}) {
  return html`<label class="choice"><span>${label}</span>
    <select value=${value} onChange=${(event) => onChange(event.target.value)}>
      ${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${
        text}</option>`)}</select></label>`;
}

// Draws again each second, for what ticks.
export function useTick(every = 1000) {
  const [, draw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => draw((n) => n + 1), every);
    return () => clearInterval(timer);
  }, [every]);
}

// The last values as a line. Its form is told by the number beside it, so readers pass over it.
export function Spark({values}) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (known.length < 2) return html`<svg class="spark" aria-hidden="true"></svg>`;
  const top = Math.max(...known, 1e-9);
  const step = 100 / (known.length - 1);
  const points = known.map((value, i) => `${(i * step).toFixed(2)},${
    (27 - 25 * value / top).toFixed(2)}`);
  return html`<svg class="spark" viewBox="0 0 100 28" preserveAspectRatio="none"
      aria-hidden="true">
    <polygon points=${`0,28 ${points.join(' ')} 100,28`}/>
    <polyline points=${points.join(' ')}/></svg>`;
}
