// fakes.mjs is what the tests put in the place of a browser and a server: time
// that passes when told to, sockets that do what the test says.

import { Teahouse } from './teahouse.js';

export class Clock {
  #now = 1_000_000;
  #timers = new Map();
  #next = 0;
  now = () => this.#now;
  setTimeout = (f, ms) => { this.#timers.set(++this.#next, { at: this.#now + ms, f }); return this.#next; };
  clearTimeout = (id) => { this.#timers.delete(id); };

  /** Lets ms pass, and what was promised meanwhile happen. */
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const [id, timer] = [...this.#timers].sort((a, b) => a[1].at - b[1].at)[0] ?? [];
      if (!timer || timer.at > end) break;
      this.#timers.delete(id);
      this.#now = Math.max(this.#now, timer.at);
      timer.f();
    }
    this.#now = end;
    await settle();
  }
}

export const settle = async () => { for (let i = 0; i < 20; i++) await Promise.resolve(); };

/** A class of fake WebSockets that remembers all that were made. */
export function sockets() {
  return class FakeSocket {
    static all = [];
    static get last() { return this.all.at(-1); }
    readyState = 0;
    sent = [];
    constructor(url, protocols) {
      Object.assign(this, { url, protocols });
      FakeSocket.all.push(this);
    }
    send(text) { this.sent.push(JSON.parse(text)); }
    close() { this.readyState = 3; }
    // What the test makes happen.
    open() { this.readyState = 1; this.onopen(); }
    say(frame) { this.onmessage({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) }); }
    drop(code = 1006, reason = '') { this.readyState = 3; this.onclose({ code, reason }); }
    of(type) { return this.sent.filter((f) => f.type === type); }
  };
}

/** A class of fake EventSources that remembers all that were made. */
export function eventSources() {
  return class FakeEventSource extends EventTarget {
    static all = [];
    constructor(url) {
      super();
      this.url = url;
      FakeEventSource.all.push(this);
    }
    close() { this.closed = true; }
    say(m, epoch = 'e1') { this.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify(m), lastEventId: `${epoch}-${m.seq}` })); }
  };
}

/** localStorage of one origin, whose changes the other tabs hear. */
export class Storage {
  #items = new Map();
  full = false;
  tabs = [];
  get length() { return this.#items.size; }
  key(i) { return [...this.#items.keys()][i] ?? null; }
  getItem(k) { return this.#items.get(k) ?? null; }
  setItem(k, v) {
    if (this.full) throw new Error('QuotaExceededError');
    this.#items.set(k, v);
  }
  removeItem(k) { this.#items.delete(k); }
  get keys() { return [...this.#items.keys()]; }

  /** The storage as one tab has it: others get an event for what it changes. */
  tab(events) {
    this.tabs.push(events);
    const tell = (key, newValue) => {
      for (const other of this.tabs) {
        if (other !== events) other.dispatchEvent(Object.assign(new Event('storage'), { key, newValue }));
      }
    };
    const all = this;
    return {
      get length() { return all.length; },
      key: (i) => all.key(i),
      getItem: (k) => all.getItem(k),
      setItem: (k, v) => { all.setItem(k, v); tell(k, v); },
      removeItem: (k) => { all.removeItem(k); tell(k, null); },
    };
  }
}

export const me = { id: '0000000000001', name: 'Quiet Heron', tag: 'aaaa' };
export const other = { id: '0000000000002', name: 'Other', tag: 'bbbb' };

export const message = (seq, more = {}) => ({
  type: 'message', room: 'lobby', seq, author: other, text: `text ${seq}`, at: '2026-01-01T00:00:00.000Z', nonce: `n${seq}`, ...more,
});

/** A client in the room "lobby", by whatever name it asks for it, with everything around it under control. */
export function start({ name = 'lobby', after = 0, storage = new Storage(), ...options } = {}) {
  const clock = new Clock();
  const events = new EventTarget();
  const WebSocket = sockets();
  const client = new Teahouse({
    url: 'http://chat.test/', WebSocket, EventSource: null, events, clock, storage: storage.tab?.(events) ?? storage, random: () => 0.5, you: me, epoch: 'e1', ...options,
  });
  const room = client.join(name, { after });
  const log = [];
  room.addEventListener('message', (e) => log.push(e.detail.message.seq));
  room.addEventListener('reset', () => log.push('reset'));
  room.addEventListener('entry', (e) => log.push(`${e.detail.text} ${e.detail.state}`));
  return { client, room, clock, events, sockets: WebSocket, storage, log };
}

/** Answers the newest socket's hello and join. */
export function welcome({ sockets: s }, joined = {}) {
  const socket = s.last;
  socket.open();
  const [hello] = socket.of('hello');
  const [join] = socket.of('join');
  socket.say({ type: 'welcome', ref: hello.ref, you: me, epoch: 'e1', server: 'teahouse/1', limits: {} });
  socket.say({ type: 'joined', ref: join.ref, room: 'lobby', after: join.after ?? 0, last: join.after ?? 0, first: true, here: { count: 1, people: [me] }, ...joined });
  return socket;
}

export const echo = (socket, seq, post = socket.of('post').at(-1)) => socket.say(message(seq, { author: me, text: post.text, nonce: post.nonce }));
