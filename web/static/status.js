// status.js says how things stand: the connection in words, what went wrong, how
// many messages are unread, and to screen readers what has been said.

import { clock, list, t } from './i18n.js';

const ANNOUNCE_AFTER = 700; // ms in which messages are taken together
const ANNOUNCE_MANY = 4; // messages from which on a summary is said
const ALERT_FOR = 10_000; // ms that an error stays
const CALM = 2000; // ms for which a server that restarts is not worth a word
const SLOW = 5000; // ms without an answer to a post that are told

const RESTART = 1012; // close code, see docs/protocol.md

const $ = (id) => document.getElementById(id);

/** Shows the state of the connection. */
export class Status {
  #client;
  #room;
  #timer;
  #restart = 0; // since when the server restarts; 0 is not
  #dismissed = false; // the banner about the stream

  constructor(client, room) {
    this.#client = client;
    this.#room = room;
    client.addEventListener('state', () => this.show());
    room.addEventListener('refused', () => this.show());
    setInterval(() => this.#words(), 1000);
    $('banner-close').addEventListener('click', () => {
      this.#dismissed = true;
      this.#banner();
    });
    $('retry-now').addEventListener('click', () => {
      if (this.#state.name === 'closed') location.reload();
      else client.wake();
    });
    this.show();
  }

  /** How the page stands: without its room a connection is of no use to it. */
  get #state() {
    const { state } = this.#client;
    return this.#room.refused ? { ...state, name: 'closed', code: this.#room.refused.code } : state;
  }

  show() {
    const { name, code } = this.#state;
    if (code === RESTART && !this.#restart) {
      this.#restart = Date.now();
      setTimeout(() => this.show(), CALM);
    } else if (name !== 'waiting' && name !== 'connecting') {
      this.#restart = 0;
    }
    this.#words();
    clearInterval(this.#timer);
    if (name === 'waiting') this.#timer = setInterval(() => this.#banner(), 500);
    this.#banner();
  }

  /** Whether the connection is about to come back by itself. */
  get #calm() { return Date.now() - this.#restart < CALM; }

  #words() {
    if (this.#calm) return;
    const { name, transport } = this.#state;
    const words = $('connection');
    const stream = name === 'open' && transport === 'stream';
    const since = this.#room.unanswered;
    const slow = name === 'open' && since > 0 && Date.now() - since > SLOW;
    words.dataset.state = name;
    words.dataset.transport = transport;
    words.classList.toggle('slow', slow);
    // Nobody tells who is here over the stream.
    $('people-button').hidden = stream;
    $('people').classList.toggle('unknown', stream);
    const text = t(slow ? 'connection.slow' : stream ? 'connection.stream' : `connection.${name}`);
    // Each try after a loss is no news: it would be read out every time.
    const again = name === 'connecting' && !$('banner').hidden;
    if (!again && words.textContent !== text) words.textContent = text;
  }

  #banner() {
    const { name, transport, retryAt, code } = this.#state;
    const stream = name === 'open' && transport === 'stream';
    // While a try is under way the banner stays as it was, so that it does not blink.
    if (name === 'connecting' || this.#calm) return;
    $('banner').hidden = !(stream && !this.#dismissed || ['waiting', 'offline', 'closed'].includes(name));
    if ($('banner').hidden) return;
    const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    $('banner').firstElementChild.textContent = t(stream ? 'banner.stream' : `banner.${name}`, { s: seconds, code });
    const button = $('retry-now');
    button.hidden = stream;
    $('banner-close').hidden = !stream;
    button.textContent = t(name === 'closed' ? 'banner.reload' : 'banner.retry');
  }
}

let alertTimer;

/** Says what went wrong, for a while; an empty text takes it back. */
export function alert(text) {
  clearTimeout(alertTimer);
  const p = document.createElement('p');
  p.textContent = text;
  $('alert').replaceChildren(...(text ? [p] : []));
  if (text) alertTimer = setTimeout(() => alert(''), ALERT_FOR);
}

/** Counts unread messages into the title of the page and onto the pill. */
export class Unread {
  #title = document.title;
  #count = 0;
  #log;

  constructor(log) {
    this.#log = log;
    for (const type of ['focus', 'pointerdown', 'keydown']) addEventListener(type, () => this.look(true), { capture: true });
    document.addEventListener('visibilitychange', () => this.look());
    log.addEventListener('scrolled', () => this.look());
    $('pill').addEventListener('click', () => this.#log.latest().catch(() => {}));
  }

  /** One more message of somebody else. */
  add() {
    this.#count++;
    this.look();
  }

  /** Looks whether they have been read: here says that the reader has just done something. */
  look(here = false) {
    const seen = !document.hidden && (here || document.hasFocus()) && this.#log.atBottom;
    if (seen) this.#count = 0;
    document.title = this.#count ? `(${this.#count}) ${this.#title}` : this.#title;
    const pill = $('pill');
    pill.hidden = this.#log.atBottom;
    const text = this.#count ? t('pill', { n: this.#count }) : t('pill.latest');
    if (pill.textContent !== text) pill.textContent = text;
    pill.classList.toggle('new', this.#count > 0);
  }
}

/**
 * Tells screen readers what others say, each message or, when many come at once,
 * one sentence. It is the only voice of the log: the list itself is silent.
 */
export class Announcer {
  #waiting = [];

  add(message) {
    this.#waiting.push(message);
    if (this.#waiting.length === 1) setTimeout(() => this.#say(), ANNOUNCE_AFTER);
  }

  #say() {
    const messages = this.#waiting;
    this.#waiting = [];
    const box = $('announcer');
    const line = (text) => {
      const p = document.createElement('p');
      p.textContent = text;
      return p;
    };
    if (messages.length < ANNOUNCE_MANY) {
      box.replaceChildren(...messages.map((m) => line(`${m.author.name}: ${m.text}, ${clock(Date.parse(m.at))}`)));
      return;
    }
    const names = [...new Set(messages.map((m) => m.author.name))].slice(0, 3);
    box.replaceChildren(line(t('announce.many', { n: messages.length, who: list(names) })));
  }
}
