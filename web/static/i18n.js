// i18n.js has the sentences, times and dates in the language of the page.

import { length } from './text.js';

const lang = document.documentElement.lang;
const { default: table } = await import(`./strings.${lang}.js`);
const plurals = new Intl.PluralRules(lang);
const mine = navigator.languages?.find((l) => l.startsWith(lang)) ?? lang;

/** The sentence of key with its {places} filled; n chooses between key.one and key.other. */
export function t(key, places = {}) {
  const text = table[key] ?? table[`${key}.${plurals.select(places.n ?? 0)}`] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, place) => places[place] ?? whole);
}

/** What to tell a person about a refusal; the server's sentence is English, for codes of newer servers. */
export function refusal({ code, message }) {
  const known = `error.code.${code}`;
  if (known in table) return table[known];
  return lang === 'en' && message && message !== code ? message : t('error.code.other', { code });
}

/** What to tell a person about a name that was refused, chosen as on the server. */
export function nameRefusal(error, name) {
  if (error.code !== 'bad_name') return refusal(error);
  const hidden = /(?![\u200c\u200d])[\p{C}\p{DI}]/u.test(name);
  const fault = !name.trim() ? 'empty' : length(name.normalize('NFKC')) > 32 ? 'long' : hidden ? 'hidden' : 'alike';
  return t(`name.bad.${fault}`);
}

const clocks = new Intl.DateTimeFormat(mine, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const fulls = new Intl.DateTimeFormat(mine, { dateStyle: 'full', timeStyle: 'medium' });
const days = new Intl.DateTimeFormat(mine, { weekday: 'long', month: 'long', day: 'numeric' });
const dates = new Intl.DateTimeFormat(mine, { weekday: 'long', year: 'numeric', month: 'long', day: 'numeric' });
const names = new Intl.ListFormat(mine, { style: 'long', type: 'conjunction' });

/** Hours and minutes of a time in ms. */
export const clock = (at) => clocks.format(at);
/** Date and time in full. */
export const full = (at) => fulls.format(at);
/** "A, B and C" */
export const list = (all) => names.format(all);

/** The local day of a time as YYYY-MM-DD. */
export function day(at) {
  const d = new Date(at);
  return `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, '0')}-${String(d.getDate()).padStart(2, '0')}`;
}

/** The words for the local day of a time. */
export function dayName(at) {
  const now = new Date();
  if (day(at) === day(now)) return t('day.today');
  if (day(at) === day(now.getTime() - 864e5)) return t('day.yesterday');
  return (new Date(at).getFullYear() === now.getFullYear() ? days : dates).format(at);
}

/** How long ago a time was, in the words of the server's list. */
export function ago(at) {
  const minutes = Math.floor((Date.now() - at) / 6e4);
  if (minutes < 1) return t('ago.now');
  if (minutes < 60) return t('ago.minutes', { n: minutes });
  if (minutes < 1440) return t('ago.hours', { n: Math.floor(minutes / 60) });
  return t('ago.days', { n: Math.floor(minutes / 1440) });
}
