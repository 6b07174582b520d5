// The slot, what doctor finds with what mends it, and what each fatwald says of itself.
import {html, useState} from './vendor/htm-preact.js';
import {live} from './live.js';
import {Badge, Choice, Icon, Mend, Panel, Search, severityOf, Table} from './parts.js';
import {bytes, count, duration, plural} from './format.js';
import {useKept} from './route.js';
import {SlotPanel} from './slot_panel.js';

function Finding({finding}) {
  const severity = severityOf(finding.severity);
  return html`<li class="finding ${severity}"><${Icon} severity=${severity} label=${severity}/>
    <div><h3>${finding.what}<${Badge}>${finding.about}</${Badge}></h3>
      ${finding.found && html`<p><span class="muted">found</span> ${finding.found}</p>`}
      ${severity !== 'ok' && finding.means && html`<p>${finding.means}</p>`}
      ${severity !== 'ok' && finding.advice && html`<p>${finding.advice}</p>`}
      ${severity !== 'ok' && html`<${Mend} text=${finding.mend}/>`}</div></li>`;
}

function Findings({findings}) {
  const bad = findings.filter((each) => severityOf(each.severity) !== 'ok');
  const well = findings.filter((each) => severityOf(each.severity) === 'ok');
  const of = (severity) => bad.filter((each) => severityOf(each.severity) === severity).length;
  const note = ['error', 'warning', 'note'].filter(of).map(
    (severity) => plural(of(severity), severity)).join(' · ');
  return html`<${Panel} id="findings" title="Findings" note=${note || 'nothing is to be mended'}>
    ${bad.length > 0 && html`<ul class="findings">${bad.map((each) => html`<${Finding}
      key=${`${each.id} ${each.found}`} finding=${each}/>`)}</ul>`}
    <details class="well"><summary>${plural(well.length, 'check')} ${
      well.length === 1 ? 'is' : 'are'} well</summary>
      <ul class="findings compact">${well.map((each) => html`<${Finding}
        key=${`${each.id} ${each.found}`} finding=${each}/>`)}</ul></details></${Panel}>`;
}

function readable(name, value) {
  if (!/^[0-9]{4,15}$/.test(value)) return '';
  if (name.endsWith('_bytes')) return bytes(Number(value));
  return name.endsWith('_seconds') ? duration(Number(value)) : '';
}

const STATUS = [
  {head: 'Name', cell: ([name]) => html`<code>${name}</code>`},
  {head: 'Value', kind: 'text value-cell', cell: ([name, value]) => html`<span class="value">${
    value}</span>${' '}<span class="muted">${readable(name, value)}</span>`},
];

function Status({fatwalds, active}) {
  const [index, setIndex] = useState(active ?? 0);
  const [search, setSearch] = useKept('search');
  const fatwald = fatwalds[index] ?? fatwalds[0];
  if (!fatwald) return null;
  const all = Object.entries(fatwald.status ?? {});
  const rows = all.filter(([name]) => name.includes(search.toLowerCase().trim()));
  return html`<${Panel} id="status" kind="values" title="What fatwald says of itself"
      note=${rows.length < all.length ? `${count(rows.length)} of ${count(all.length)} values`
        : plural(all.length, 'value')}
      actions=${html`${fatwalds.length > 1 && html`<${Choice} label="Process" value=${String(index)}
          options=${fatwalds.map((each, i) => [String(i), each.endpoint])}
          onChange=${(next) => setIndex(Number(next))}/>`}
        <${Search} label="Filter by name" value=${search} onInput=${setSearch}/>`}>
    <p class="process"><code>${fatwald.endpoint}</code> <${Badge}
      severity=${fatwald.failure ? 'error' : fatwald.state === 'streaming' ? 'ok' : 'note'}>${
      fatwald.failure ? 'does not answer' : fatwald.state}</${Badge}></p>
    ${fatwald.failure && html`<p class="error-text">${fatwald.failure}</p>`}
    <${Table} label="Status" columns=${STATUS} rows=${rows} keyOf=${([name]) => name}
      empty=${all.length ? 'No value has such a name.' : 'It says nothing.'}/></${Panel}>`;
}

export function Slot() {
  const {state} = live;
  return html`<h1 class="page">Slot and settings</h1>
    <div class="columns even">
      <${Panel} id="slot" title="The slot against its limits"><${SlotPanel} state=${state}/></${Panel}>
      <${Findings} findings=${state.findings}/></div>
    <${Status} fatwalds=${state.fatwalds} active=${state.active}/>`;
}
