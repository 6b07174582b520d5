// The live tail of an account: one stream of server-sent events, the newest first, at most so many
// rows. While it is paused what comes waits, and what is beyond the bound is counted and left out.
//
// It resumes by the cursor of the last batch, so that batch comes once more: what it has is known
// by its position.
import {accountQuery} from './format.js';
import {refusalOf} from './api.js';

export const MOST = 500;
const MOST_LENGTH = 8e6;  // characters of all of them, as JSON
const PAUSES = [500, 1000, 2000, 4000];

export const DATA = new Set(['insert', 'update', 'delete', 'truncate', 'message', 'row']);

export function positionOf(event) {
  return event.commit_lsn ? `${event.commit_lsn}:${event.ordinal}` : null;
}

// The newest that are within both bounds; one is kept in any case.
function bounded(rows) {
  let length = 0;
  const end = rows.findIndex((row, index) => {
    length += row.length;
    return index === MOST || (index > 0 && length > MOST_LENGTH);
  });
  return end < 0 ? rows : rows.slice(0, end);
}

export class TailStream {
  // `changed` is called when something is to be drawn again.
  constructor(account, from, changed) {
    this.account = account;
    this.from = from;
    this.changed = changed;
    this.standing = 'joining';  // 'live', 'lost'
    this.notice = null;  // {error, hint}
    this.rows = [];  // the newest first: {id, event, cursor}
    this.waiting = [];
    this.leftOut = 0;
    this.isPaused = false;
    this.count = 0;
    this.tables = new Set();
    this.attempts = 0;
    this.isClosed = false;
    this.open();
  }

  open() {
    const from = this.from ? `&from=${encodeURIComponent(this.from)}` : '';
    this.source = new EventSource(`/api/tail?${accountQuery(this.account)}${from}`);
    const on = (name, handle) => this.source.addEventListener(name, (event) => {
      if (this.isClosed || event.data === undefined) return;
      handle(JSON.parse(event.data));
      this.changed();
    });
    on('joined', () => {
      this.standing = 'live';
      this.notice = null;
      this.attempts = 0;
    });
    on('batch', ({cursor, events}) => this.take(cursor, events));
    on('lost', ({reason, hint}) => {
      this.standing = 'lost';
      this.notice = {error: `The stream is lost: ${reason}.`, hint};
    });
    on('failed', (notice) => {
      this.standing = 'lost';
      this.notice = notice;
    });
    on('dropped', ({events}) => { this.leftOut += events; });
    this.source.addEventListener('error', () => this.retry());
  }

  async retry() {
    this.source.close();
    const notice = this.standing === 'live' ? null : await refusalOf(this.source.url);
    if (this.isClosed) return;
    this.standing = 'lost';
    this.notice = notice ?? this.notice ?? {error: 'The stream was interrupted.', hint: ''};
    this.timer = setTimeout(
      () => this.open(), PAUSES[Math.min(this.attempts++, PAUSES.length - 1)]);
    this.changed();
  }

  take(cursor, events) {
    if (cursor) this.from = cursor;
    const known = new Set();
    for (const row of [...this.rows, ...this.waiting]) {
      const position = positionOf(row.event);
      if (position) known.add(position);
    }
    const fresh = [];
    for (const event of events) {
      const position = positionOf(event);
      if (position && known.has(position)) continue;
      if (event.table) this.tables.add(`${event.schema}.${event.table}`);
      fresh.unshift({id: ++this.count, event, cursor, at: Date.now(),
                     length: JSON.stringify(event).length});
    }
    if (this.isPaused) {
      const all = [...fresh, ...this.waiting];
      this.waiting = bounded(all);
      this.leftOut += all.length - this.waiting.length;
    } else {
      this.rows = bounded([...fresh, ...this.rows]);
    }
    // Names of tables are data, so they are bounded too.
    if (this.tables.size > MOST) this.tables = new Set([...this.tables].slice(-MOST));
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    if (!isPaused) {
      this.rows = bounded([...this.waiting, ...this.rows]);
      this.waiting = [];
    }
    this.changed();
  }

  clear() {
    this.rows = [];
    this.waiting = [];
    this.leftOut = 0;
    this.changed();
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.source.close();
  }
}
