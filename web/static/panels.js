// panels.js is what stands around the log: who is here, the invitation, the own
// name, the list of shortcuts, who is typing.

import { nameRefusal, t } from './i18n.js';
import { makeName, makeSeal } from './message.js';
import { menu } from './prefs.js';
import { alert } from './status.js';

const TYPING_FOR = 6000; // ms that a sign of typing is good for
const MOST_PEOPLE = 200; // names in the list

const $ = (id) => document.getElementById(id);

/** Who is here: a count, and a list when it is opened. */
export function people(room, me) {
  const panel = $('people');
  const button = $('people-button');
  const wide = matchMedia('(min-width: 68rem)');
  const show = (open) => {
    panel.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
  };
  const row = (person, twin) => {
    const li = document.createElement('li');
    const tag = document.createElement('span');
    tag.className = 'tag';
    tag.textContent = [twin && person.tag, person.id === me() && t('name.you')].filter(Boolean).join(' · ');
    const name = makeName(person.name);
    name.title = person.tag;
    li.append(makeSeal(person), name, ' ', tag);
    return li;
  };
  const update = () => {
    const all = [...room.people.values()].sort((a, b) => a.name.localeCompare(b.name));
    const n = Math.max(room.count, all.length);
    button.querySelector('.words').textContent = t('people.button', { n });
    for (const count of [button, panel].map((e) => e.querySelector('.count'))) count.textContent = n;
    const twin = (p) => all.some((q) => q.name === p.name && q.id !== p.id);
    panel.querySelector('ul').replaceChildren(...all.slice(0, MOST_PEOPLE).map((p) => row(p, twin(p))));
    const rest = n - Math.min(all.length, MOST_PEOPLE);
    panel.querySelector('.rest').textContent = rest > 0 ? t('people.more', { n: rest }) : '';
  };
  button.addEventListener('click', () => show(panel.hidden));
  // Wherever the focus is: opening the list leaves it on the button.
  document.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape' || wide.matches || panel.hidden || document.querySelector('dialog[open]')) return;
    show(false);
    button.focus();
  });
  document.addEventListener('click', (e) => {
    if (!wide.matches && !panel.hidden && !panel.contains(e.target) && !button.contains(e.target)) show(false);
  });
  wide.addEventListener('change', () => show(wide.matches));
  room.addEventListener('here', update);
  show(wide.matches);
  return update;
}

/** Who is typing: seen, never spoken. */
export function typing(room) {
  const until = new Map(); // id -> {name, timer}
  const show = () => {
    const names = [...until.values()].map((p) => p.name);
    const key = ['', 'typing.one', 'typing.two', 'typing.three'][names.length] ?? 'typing.many';
    $('typing').textContent = key && t(key, { a: names[0], b: names[1] });
  };
  const stop = (id) => {
    clearTimeout(until.get(id)?.timer);
    if (until.delete(id)) show();
  };
  room.addEventListener('typing', (e) => {
    for (const p of e.detail.people) {
      clearTimeout(until.get(p.id)?.timer);
      until.set(p.id, { name: p.name, timer: setTimeout(() => stop(p.id), TYPING_FOR) });
    }
    show();
  });
  room.addEventListener('message', (e) => stop(e.detail.message.author.id));
}

/** The link, to copy or to photograph. */
export function invite() {
  const dialog = $('invite');
  const url = $('invite-url');
  const copy = $('invite-copy');
  url.value ||= location.origin + $('room').dataset.path;
  $('invite-button').addEventListener('click', (e) => {
    if (e.ctrlKey || e.metaKey || e.shiftKey) return;
    e.preventDefault();
    dialog.showModal();
    url.select();
  });
  url.addEventListener('focus', () => url.select());
  copy.addEventListener('click', async () => {
    let copied = false;
    try {
      // navigator.clipboard does not exist on plain http.
      if (navigator.clipboard) copied = await navigator.clipboard.writeText(url.value).then(() => true, () => false);
      if (!copied) {
        url.select();
        copied = document.execCommand('copy');
      }
    } catch { /* told below */ }
    if (!copied) return alert(t('error.copy'));
    copy.textContent = t('invite.copied');
    setTimeout(() => { copy.textContent = t('invite.copy'); }, 2000);
  });
  closesOutside(dialog);
}

/** The list of keys. Returns what opens it. */
export function shortcuts() {
  const dialog = $('shortcuts');
  closesOutside(dialog);
  $('shortcuts-button').addEventListener('click', () => dialog.showModal());
  return () => dialog.showModal();
}

function closesOutside(dialog) {
  dialog.addEventListener('click', (e) => e.target === dialog && dialog.close());
}

/** The own name: one click, Enter saves. Returns what changes it from elsewhere. */
export function rename(client, done) {
  const details = $('me');
  const input = $('name-input');
  const problem = $('name-problem');
  let attempt = ''; // name that was refused, to be mended
  const tell = (text) => {
    problem.textContent = text;
    input.toggleAttribute('aria-invalid', false);
    if (text) input.setAttribute('aria-invalid', 'true');
  };
  const save = async (name) => {
    try {
      await client.rename(name);
      attempt = '';
      details.open = false;
      done();
    } catch (error) {
      attempt = name;
      input.value = name;
      details.open = true;
      tell(nameRefusal(error, name));
      input.focus();
    }
  };
  input.addEventListener('input', () => tell(''));
  menu(details);
  details.addEventListener('toggle', () => {
    if (!details.open) {
      attempt = '';
      return tell('');
    }
    input.value = attempt || client.you.name;
    if (!attempt) input.select();
  });
  $('rename').addEventListener('submit', (e) => {
    e.preventDefault();
    if (input.value.trim() === client.you.name) {
      details.open = false;
      done();
    } else {
      save(input.value.trim());
    }
  });
  client.addEventListener('renamed', ({ detail: person }) => {
    if (person.id === client.you.id) showMe(person);
  });
  return save;
}

/** Shows the own name. */
export function showMe(person) {
  const summary = $('me').querySelector('summary');
  summary.querySelector('.seal').replaceWith(makeSeal(person));
  summary.querySelector('b').replaceChildren(makeName(person.name));
}
