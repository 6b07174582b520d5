// One account: its subscribers, its live tail, its rows.
import {html} from './vendor/htm-preact.js';
import {accountName, accountQuery} from './format.js';
import {useKept} from './route.js';
import {SubscriberTables} from './subscribers.js';
import {SnapshotRows} from './rows.js';
import {Tail} from './tail.js';

export function AccountPage({query}) {
  const account = query.has('operators') ? null : query.get('account') ?? '';
  const [by, setBy] = useKept('by', 'lag');
  return html`<h1 class="page"><a href="#/accounts">Accounts</a> <span aria-hidden="true">/ </span>${''}
      ${account === null ? 'Operators' : html`<span class="key">${accountName(account)}</span>`}</h1>
    ${account === null && html`<p class="hint">Changes that belong to no account.</p>`}
    <${SubscriberTables} of=${accountQuery(account)} by=${by} setBy=${setBy}/>
    <${Tail} account=${account}/>
    <${SnapshotRows} account=${account}/>`;
}
