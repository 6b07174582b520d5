// The one action: a durable subscriber does not come back, so Postgres need keep nothing for it.
import {html, useState} from './vendor/htm-preact.js';
import {post} from './api.js';
import {accountName, bytes, duration} from './format.js';
import {Dialog, Trouble} from './parts.js';

// `subscriber`: {account, name, behind (bytes or null), isAttached, droppedIn (seconds or null)}.
function Confirmation({subscriber, onClose, onDone}) {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState(null);
  const confirm = async () => {
    setBusy(true);
    try {
      await post('/api/forget', {account: subscriber.account, name: subscriber.name});
      onDone();
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };
  const of = accountName(subscriber.account);
  return html`<${Dialog} title="Forget a durable subscriber" onClose=${onClose} kind="danger">
    <p>fatwald forgets <strong class="key">${subscriber.name}</strong> of ${
      subscriber.account === null ? 'the operators' : html`account <strong class="key">${
      of}</strong>`}.</p>
    <p>What is lost:</p>
    <ul>
      <li>The changes that it has not acknowledged${
        subscriber.behind ? ` (within the last ${bytes(subscriber.behind)} of WAL)` : ''}. Postgres
        no longer keeps WAL for them.</li>
      <li>Its place in the stream. If it comes back, it is told that it missed changes, and it begins
        again with a snapshot of its rows. Messages of <code>fatwal.emit</code> are in no
        snapshot.</li>
      ${subscriber.isAttached && html`<li>Its attachment: it is attached now, and fatwald ends
        that.</li>`}
    </ul>
    ${subscriber.droppedIn !== null && subscriber.droppedIn !== undefined && html`<p>Otherwise
      fatwald drops it in ${duration(subscriber.droppedIn)}, unless it comes back.</p>`}
    <p>Others are not concerned. This cannot be undone.</p>
    <${Trouble} failure=${failure}/>
    <div class="buttons">
      <button type="button" onClick=${onClose} autofocus>Keep it</button>
      <button type="button" class="danger" disabled=${isBusy} onClick=${confirm}>Forget ${
        subscriber.name}</button>
    </div></${Dialog}>`;
}

export function Forget({subscriber, onDone}) {
  const [isOpen, set] = useState(false);
  const close = () => set(false);
  return html`<button type="button" class="small" onClick=${() => set(true)}
      aria-label=${`Forget ${subscriber.name} of ${accountName(subscriber.account)}`}>Forget…</button>
    ${isOpen && html`<${Confirmation} subscriber=${subscriber} onClose=${close}
      onDone=${() => { close(); onDone?.(); }}/>`}`;
}
