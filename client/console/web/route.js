// The address behind the #: a page and its values, which are permalinks. "#/account?account=7"
import {useEffect, useState} from './vendor/htm-preact.js';

export function parse(hash = location.hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?');
  return {page: path || 'overview', query: new URLSearchParams(query)};
}

export function link(page, values = {}) {
  const query = new URLSearchParams(Object.entries(values).filter(
    ([, value]) => value !== null && value !== undefined)).toString();
  return `#/${page}${query ? `?${query}` : ''}`;
}

// Keeps values in the address without a step in the browser's history: filters, searches.
export function keep(values) {
  const route = parse();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === '') route.query.delete(name);
    else route.query.set(name, value);
  }
  const next = link(route.page, Object.fromEntries(route.query));
  if (next !== location.hash) history.replaceState(null, '', next);
}

export function useRoute() {
  const [route, set] = useState(parse());
  useEffect(() => {
    const change = () => set(parse());
    addEventListener('hashchange', change);
    return () => removeEventListener('hashchange', change);
  }, []);
  return route;
}

// One of the address's values, with its setter.
export function useKept(name, first = '') {
  const [value, set] = useState(() => parse().query.get(name) ?? first);
  return [value, (next) => {
    set(next);
    keep({[name]: next === first ? '' : next});
  }];
}
