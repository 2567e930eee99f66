// room.js takes over a room's page: it connects the client (teahouse.js) with
// what the server has written (templates/room.html).

import { Composer } from './composer.js';
import { refusal, t } from './i18n.js';
import { Log } from './log.js';
import { invite, people, rename, shortcuts, showMe, typing } from './panels.js';
import { settings } from './prefs.js';
import { copying, keys, permalinks } from './reading.js';
import { Announcer, Status, Unread, alert } from './status.js';
import { Teahouse } from './teahouse.js';

const $ = (id) => document.getElementById(id);
const IDLE = 60_000; // ms without a key or a touch before a new version may load by itself
const REPLAY = 1000; // ms after a reset in which messages are old ones

const page = $('room').dataset;
document.documentElement.dataset.js = '';

const client = new Teahouse({
  client: 'page', locale: document.documentElement.lang, epoch: page.epoch,
  you: { id: page.me, name: page.name, tag: page.tag },
});
const room = client.join(page.room, { after: Number(page.last) });
const log = new Log($('chat-log'), room, {
  me: page.me, path: page.path, end: Number(page.end), first: page.first === 'true',
});
const composer = new Composer(page.room);
const unread = new Unread(log);
const announcer = new Announcer();
const failed = (error) => alert(refusal(error));

function followRoom() {
  let replaying = 0; // a reset replays what is not news
  room.addEventListener('reset', (e) => {
    log.reset(e.detail.first);
    clearTimeout(replaying);
    replaying = setTimeout(() => { replaying = 0; }, REPLAY);
  });
  room.addEventListener('message', (e) => {
    const { message, after } = e.detail;
    log.add(message, after);
    if (message.author.id === client.you.id || replaying) return;
    unread.add();
    announcer.add(message);
  });
  room.addEventListener('entry', (e) => {
    log.entry(e.detail, client.you);
    if (e.detail.kept === false && e.detail.state === 'pending') alert(t('error.storage'));
  });
  // What the page shows already has arrived, whatever the last visit knew.
  for (const item of log.items) if (item.nonce) room.settled(item.nonce, item.seq, undefined);
  for (const entry of room.outbox) log.entry(entry, client.you);
  $('messages').addEventListener('click', (e) => {
    const { nonce } = e.target.closest('.message')?.dataset ?? {};
    if (e.target.matches('.retry')) room.retry(nonce);
    if (e.target.matches('.discard')) room.discard(nonce);
  });
}

function followLog() {
  log.addEventListener('older', () => showOlder($('older')));
  showOlder($('older'));
  client.addEventListener('state', () => client.state.name === 'open' && log.again());
}

/** What stands above the oldest message: the beginning, a wait, or a failure. */
function showOlder(box) {
  const part = (tag, className, text) => {
    const e = document.createElement(tag);
    e.className = className;
    e.textContent = text;
    return e;
  };
  switch (box.dataset.state) {
    case 'first': {
      if (box.querySelector('.beginning')) return;
      const intro = part('div', 'beginning', '');
      const cup = document.querySelector('.bar .cup').cloneNode(true);
      intro.append(cup, part('p', '', t('log.end', { room: room.name })), part('p', 'small', t('log.end.hint')));
      return box.replaceChildren(intro);
    }
    case 'failed': {
      const again = part('button', 'retry-older', t('log.retry'));
      again.addEventListener('click', () => log.again());
      return box.replaceChildren(part('p', 'note', t('log.failed')), again);
    }
    default: {
      // The same height whether or not a request is under way.
      const wait = part('div', 'skeleton', '');
      wait.append(part('p', 'unseen', t('log.loading')), part('i', '', ''), part('i', '', ''), part('i', '', ''));
      if (!box.querySelector('.skeleton')) box.replaceChildren(wait);
    }
  }
}

function followComposer(changeName, help) {
  composer.addEventListener('typing', () => room.typing());
  composer.addEventListener('send', (e) => {
    // The message is in the log before anything is asked of the network.
    room.post(e.detail);
    log.latest().catch(() => {});
  });
  composer.addEventListener('command', ({ detail }) => {
    if (detail.name === 'help') {
      detail.done = true;
      help();
    } else if (detail.name === 'name') {
      detail.done = detail.rest !== '';
      if (detail.done) changeName(detail.rest);
      else composer.hint(t('command.name'));
    } else {
      composer.hint(t('command.unknown', { command: `/${detail.name}` }));
    }
  });
}

/** A new version of the server brings a new page: offered, and taken when nobody would notice. */
function followVersion() {
  let known, active = Date.now();
  for (const type of ['keydown', 'pointerdown']) addEventListener(type, () => { active = Date.now(); }, { capture: true, passive: true });
  $('update').querySelector('button').addEventListener('click', () => location.reload());
  client.addEventListener('welcome', () => {
    known ??= client.server;
    $('update').hidden = client.server === known;
  });
  setInterval(() => {
    const idle = document.hidden && Date.now() - active > IDLE && composer.empty && !room.outbox.length;
    if (!$('update').hidden && idle) location.reload();
  }, IDLE / 4);
}

function begin() {
  settings();
  invite();
  copying();
  const help = shortcuts();
  const updatePeople = people(room, () => client.you.id);
  const changeName = rename(client, () => composer.focus());
  typing(room);
  keys(composer, help);
  const places = permalinks(log, page.path, failed);
  followRoom();
  followLog();
  followComposer(changeName, help);
  followVersion();
  client.addEventListener('renamed', (e) => { log.rename(e.detail); updatePeople(); });
  client.addEventListener('welcome', () => showMe(client.you));
  document.addEventListener('visibilitychange', () => document.hidden || client.wake());
  addEventListener('pageshow', (e) => e.persisted && client.wake());
  new Status(client, room);
  client.connect();
  if (history.state?.seq || page.target) places.back();
  if (!matchMedia('(pointer: coarse)').matches) composer.focus();
  log.keep(() => {});
}

begin();
