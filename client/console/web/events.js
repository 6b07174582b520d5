// The lines of fatwald's log, as far as it has kept them.
import {html} from './vendor/htm-preact.js';
import {live} from './live.js';
import {count, plural} from './format.js';
import {Choice, Panel, Search, severityOf} from './parts.js';
import {useKept} from './route.js';
import {EventList} from './event_list.js';

const ORDER = ['ok', 'note', 'warning', 'error'];
const LEVELS = [['', 'all levels'], ['warning', 'warnings and errors'], ['error', 'errors']];

export function Events() {
  const [search, setSearch] = useKept('search');
  const [level, setLevel] = useKept('level');
  const least = ORDER.indexOf(level || 'ok');
  const text = search.toLowerCase();
  const shown = live.events.filter((event) =>
    ORDER.indexOf(severityOf(event.level)) >= least &&
    (!text || `${event.text} ${event.endpoint}`.toLowerCase().includes(text)));
  const several = live.state.fatwalds.length > 1;
  return html`<h1 class="page">Events</h1>
    <${Panel} id="happened" title=${plural(shown.length, 'event')}
      note=${shown.length < live.events.length ? `of ${count(live.events.length)}`
        : 'the newest first'}
      actions=${html`<${Choice} label="Level" value=${level} options=${LEVELS}
        onChange=${setLevel}/><${Search} label="Search events" value=${search}
        onInput=${setSearch}/>`}>
      <${EventList} events=${shown.slice().reverse()} withEndpoint=${several}
        empty=${live.events.length ? 'No event fits.'
          : 'fatwald has logged nothing yet.'}/></${Panel}>`;
}
