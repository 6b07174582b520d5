// The answer to why, as the process gives it (portal/access/explanation.h).
import {html} from './vendor/htm-preact.js';
import {count, NONE} from './format.js';
import {Badge, Copy, Icon, Table, When} from './parts.js';

const STANDINGS = {
  grants: ['ok', 'grants'],
  not_conforming: ['error', 'a condition does not hold'],
  not_member: ['note', 'the actor is not in its group'],
  no_group: ['note', 'it names no group'],
  disabled: ['note', 'it is disabled'],
  feature_off: ['note', 'the account’s features have no conditions'],
  chosen: ['ok', 'chosen'],
  alike: ['ok', 'as good as the chosen one'],
  farther: ['note', 'farther from the client'],
  older: ['note', 'an older version'],
  not_connected: ['note', 'the client is connected to another one'],
  offline: ['error', 'offline'],
  not_held: ['warning', 'no process has its session yet'],
  incompatible: ['error', 'its version and the client’s do not fit'],
  inexpressive: ['error', 'its version cannot express the resource'],
  other_site: ['note', 'online, but in no site of the resource'],
};

const time = (text) => html`<${When} at=${Date.parse(text)}/>`;
const text = (value) => typeof value === 'string' ? value : JSON.stringify(value);

function Standing({of}) {
  const [severity, words] = STANDINGS[of] ?? ['note', of];
  return html`<${Badge} severity=${severity}>${words}</${Badge}>`;
}

function LeftOut({of}) {
  return of ? html`<p class="hint">${count(of)} more are left out.</p>` : null;
}

function Fact({name, children}) {
  return html`<div><dt>${name}</dt><dd>${children}</dd></div>`;
}

function Condition({of}) {
  if (!of.understood) {
    return html`<li><${Icon} severity="error" label="does not hold"/><span><code>${of.property}</code>
      is not understood, so nobody meets it</span></li>`;
  }
  const values = (of.values ?? []).map(text).join(', ') || 'nothing';
  const more = of.values_left_out ? ` and ${of.values_left_out} more` : '';
  return html`<li><${Icon} severity=${of.holds ? 'ok' : 'error'}
      label=${of.holds ? 'holds' : 'does not hold'}/>
    <span><code>${of.property} ${of.operator} ${values}${more}</code>${' '}
      <span class="muted">the client has</span> <b>${of.value === null || of.value === undefined
        ? 'nothing known' : text(of.value)}</b>, ${of.holds ? 'which holds' : 'which does not hold'}
      ${of.holds && of.holds_until && html` until ${time(of.holds_until)}`}
      ${!of.holds && of.changes_at && html`; time can change that ${time(of.changes_at)}`}</span></li>`;
}

function Policy({of}) {
  return html`<li class="policy"><h4>${of.description ?? of.id}<${Standing} of=${of.standing}/></h4>
    <p class="muted">of group <b>${of.group ?? (of.group_id ? 'that was deleted' : 'none')}</b>${
      of.holds_until && html`, until ${time(of.holds_until)}`}</p>
    ${of.conditions?.length > 0 && html`<ul class="conditions">${of.conditions.map((each) => html`
      <${Condition} of=${each}/>`)}</ul>`}</li>`;
}

const GATEWAYS = [
  {head: 'Gateway', cell: (row) => html`<span title=${row.id}>${row.name ?? row.id}</span>`},
  {head: 'Standing', kind: 'text', cell: (row) => html`<${Standing} of=${row.standing}/>`},
  {head: 'Version', kind: 'text', cell: (row) => row.version ?? NONE},
  {head: 'Distance', kind: 'number', cell: (row) => row.distance_km === null ||
    row.distance_km === undefined ? NONE : `${count(row.distance_km)} km`},
];

export function Explanation({answer}) {
  const {verdict, client, groups = [], resource, policies = [], gateways = [], flows = []} = answer;
  const [first, ...rest] = (answer.text ?? '').split('\n');
  const severity = verdict.granted ? 'ok' : 'error';
  return html`<div class="why">
    <div class="verdict ${severity}" role="status"><${Icon} severity=${severity}
      label=${verdict.granted ? 'granted' : 'refused'}/><div><p class="sentence">${first}</p>
      ${verdict.expires_at && html`<p>It ends ${time(verdict.expires_at)}.</p>`}</div></div>
    ${client && html`<dl class="facts wide">
      <${Fact} name="client">${client.name ?? client.id}</${Fact}>
      <${Fact} name="actor">${client.actor?.name ?? NONE}</${Fact}>
      <${Fact} name="known by">${client.source === 'session' ? 'its session here'
        : client.online ? 'its row; connected elsewhere' : 'its row; not connected'}</${Fact}>
      <${Fact} name="version">${client.version ?? NONE}</${Fact}>
      <${Fact} name="address">${client.remote_ip ?? NONE}</${Fact}>
      <${Fact} name="region">${client.region ?? NONE}</${Fact}>
      <${Fact} name="verified">${client.verified ? 'yes' : 'no'}</${Fact}>
      <${Fact} name="token">${client.token_id ? (client.token_expires_at
        ? html`until ${time(client.token_expires_at)}` : 'without end') : 'none'}</${Fact}>
      ${resource && html`<${Fact} name="resource">${resource.name ?? resource.id}</${Fact}>
      <${Fact} name="type, address">${resource.type} ${resource.address}</${Fact}>
      <${Fact} name="sites">${(resource.sites ?? []).map((site) => site.name ?? site.id).join(', ') ||
        'no site'}</${Fact}>`}</dl>
    <h3>Memberships of ${client.actor?.name ?? 'the actor'}</h3>
    ${groups.length ? html`<ul class="chips">${groups.map((group) => html`<li><${Badge}>${
      group.name ?? group.id}${!group.membership_id && ' (everyone’s)'}</${Badge}></li>`)}</ul>`
      : html`<p class="muted">It is in no group.</p>`}
    <${LeftOut} of=${answer.groups_left_out}/>`}
    ${resource && html`<h3>Policies of ${resource.name ?? 'the resource'}</h3>
    ${policies.length ? html`<ul class="policies">${policies.map((each) => html`<${Policy}
      key=${each.id} of=${each}/>`)}</ul>` : html`<p class="muted">No policy names it.</p>`}
    <${LeftOut} of=${answer.policies_left_out}/>
    <h3>Gateways</h3>
    <${Table} label="Gateways" columns=${GATEWAYS} rows=${gateways} keyOf=${(row) => row.id}
      empty="The resource has no gateways."/>
    <${LeftOut} of=${answer.gateways_left_out}/>`}
    ${flows.length > 0 && html`<h3>Flows now</h3><ul>${flows.map((flow) => html`<li>through ${
      gateways.find((each) => each.id === flow.gateway_id)?.name ?? flow.gateway_id}${
      flow.expires_at && html`, until ${time(flow.expires_at)}`}</li>`)}</ul>`}
    <details><summary>In words</summary><pre>${rest.length ? answer.text : first}</pre>
      <${Copy} text=${answer.text ?? ''}/></details></div>`;
}
