// Values as text. What is not known is null, and shown as NONE.

export const NONE = '–';

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'];

// As `fatwal doctor` and the verdict have them: 1 kB is 1000 bytes. Three digits tell enough; the
// exact number stands in the title.
export function bytes(count) {
  if (count === null || count === undefined) return NONE;
  let value = Math.abs(count);
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    ++unit;
  }
  const sign = count < 0 ? '−' : '';
  if (unit === 0) return `${sign}${Math.round(value)} ${value === 1 ? 'byte' : 'bytes'}`;
  return `${sign}${Number(value.toFixed(value < 99.95 ? 1 : 0))} ${UNITS[unit]}`;
}

const GROUPED = new Intl.NumberFormat('en-US', {maximumFractionDigits: 0});

export function count(value) {
  return value === null || value === undefined ? NONE : GROUPED.format(value);
}

// Settings of Postgres count in 1024s: a limit of '4GB' is 4.3 GB here.
export function exactBytes(value) {
  if (value === null || value === undefined) return 'not known';
  const mebibytes = value / 1048576;
  const inPostgres = mebibytes >= 1 && Number.isInteger(mebibytes)
    ? `, '${mebibytes % 1024 ? `${mebibytes}MB` : `${mebibytes / 1024}GB`}' in Postgres` : '';
  return `${count(value)} bytes${inPostgres}`;
}

export function perSecond(value) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return '0';
  if (value < 0.05) return '<0.1';
  return value < 9.95 ? value.toFixed(1) : GROUPED.format(value);
}

export function bytesPerSecond(value) {
  return value === null || value === undefined ? NONE : `${bytes(value)}/s`;
}

// Two digits: a delay is known as the upper bound of a histogram's bucket.
export function milliseconds(value) {
  if (value === null || value === undefined) return NONE;
  const digits = (number) => String(Number(number.toPrecision(number < 100 ? 2 : 3)));
  return value < 1000 ? `${digits(value)} ms` : `${digits(value / 1000)} s`;
}

// "3 h 12 min": the two greatest units.
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours, minutes] = [86400, 3600, 60].map((unit) => Math.floor(whole / unit));
  if (days > 0) return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
  if (hours > 0) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  if (minutes > 0) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  return `${whole} s`;
}

const two = (value) => String(value).padStart(2, '0');

// What ticks: "23:59:07", "6 d 23:59:07".
export function countdown(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  const whole = Math.max(0, Math.ceil(seconds));
  const days = Math.floor(whole / 86400);
  const clock = [Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  return `${days > 0 ? `${days} d ` : ''}${clock.map(two).join(':')}`;
}

export function ago(at, now) {
  const seconds = (now - at) / 1000;
  if (Math.abs(seconds) < 1.5) return 'now';
  return seconds > 0 ? `${duration(seconds)} ago` : `in ${duration(-seconds)}`;
}

export function clock(at, withMilliseconds = false) {
  const time = new Date(at);
  const text = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':');
  return withMilliseconds ? `${text}.${String(time.getMilliseconds()).padStart(3, '0')}` : text;
}

export function exactTime(at) {
  const time = new Date(at);
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('-');
  const minutes = -time.getTimezoneOffset();
  const zone = `${minutes < 0 ? '−' : '+'}${two(Math.floor(Math.abs(minutes) / 60))}:${
    two(Math.abs(minutes) % 60)}`;
  return `${day} ${clock(at, true)} ${zone}`;
}

// A JSON value of a row.
export function value(of) {
  if (of === undefined) return 'not logged';
  if (of === null) return 'null';
  return typeof of === 'string' ? of : JSON.stringify(of);
}

export function accountName(key) {
  if (key === null || key === undefined) return 'operators';
  return key === '' ? '"" (the empty key)' : key;
}

// The query by which the API and the permalinks name an account.
export function accountQuery(key) {
  return key === null || key === undefined ? 'operators=1' : `account=${encodeURIComponent(key)}`;
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
