// Requests of the API, and the hooks by which pages use them.
import {useEffect, useRef, useState} from './vendor/htm-preact.js';
import {needLogin} from './live.js';

// What went wrong, and what to do.
export class Failure extends Error {
  constructor(message, hint = '', status = 0) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, {cache: 'no-store', ...options});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure('The console cannot be reached.', 'Is `fatwal console` running?');
  }
  const text = await answer.text();
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    throw new Failure(`The console answered ${answer.status} with what is no JSON.`);
  }
  if (answer.ok) return body;
  if (answer.status === 401 && path !== '/api/login') needLogin();
  throw new Failure(body?.error ?? body?.reason ?? `The console answered ${answer.status}.`,
                    body?.hint ?? '', answer.status);
}

// Why a stream was refused: an EventSource does not tell, a request of the same does. Null: it is
// not refused.
export async function refusalOf(url) {
  const abort = new AbortController();
  try {
    const answer = await fetch(url, {signal: abort.signal, cache: 'no-store'});
    if (answer.status === 401) needLogin();
    return answer.ok ? null : await answer.json();
  } catch {
    return {error: 'The console cannot be reached.', hint: 'Is `fatwal console` running?'};
  } finally {
    abort.abort();
  }
}

export function post(path, body) {
  return request(path, {
    method: 'POST',
    headers: {'Content-Type': 'application/json', 'X-Fatwal-Console': '1'},
    body: JSON.stringify(body),
  });
}

export const query = (values) => new URLSearchParams(
  Object.entries(values).filter(([, each]) => each !== '' && each !== null && each !== undefined),
).toString();

// Asks for a path, again `every` ms after each answer, and at once where the path is another. A
// null path asks for nothing. The last answer stays while the next one is on its way.
export function usePolled(path, every = 0) {
  const [result, set] = useState({data: null, failure: null, path: null});
  const [round, again] = useState(0);
  useEffect(() => {
    if (path === null) {
      set({data: null, failure: null, path});
      return undefined;
    }
    const abort = new AbortController();
    let timer = null;
    const ask = async () => {
      try {
        const data = await request(path, {signal: abort.signal});
        if (!abort.signal.aborted) set({data, failure: null, path});
      } catch (failure) {
        if (abort.signal.aborted) return;
        set((before) => ({data: before.path === path ? before.data : null, failure, path}));
      }
      if (every && !abort.signal.aborted) timer = setTimeout(ask, document.hidden ? 10000 : every);
    };
    ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, every, round]);
  return {...result, isLoading: result.path !== path, again: () => again((n) => n + 1)};
}

// A value that follows another one when that has been still for a moment.
export function useStill(value, pause = 250) {
  const [still, set] = useState(value);
  const timer = useRef(null);
  useEffect(() => {
    timer.current = setTimeout(() => set(value), pause);
    return () => clearTimeout(timer.current);
  }, [value]);
  return still;
}
