// teahouse.js is the JavaScript client of Teahouse: one ES module without
// dependencies and without DOM, for pages, workers and Node.
//
// Its nouns: a Teahouse is the connection; a Room is a log one follows; an
// entry is something said that the server has not confirmed yet, kept in the
// room's outbox.
//
// What it promises:
//   - a Room's "message" events come once each, in ascending seq, without holes;
//   - what is posted is kept (in storage, where there is one) and sent in the
//     order it was posted, again and again until the server has stored it. The
//     nonce makes every repetition harmless, also from two tabs;
//   - reconnecting is spread out (full jitter) and resumes where it stopped.
// Typing and presence are best effort.
//
// README.md beside this file is the tour; docs/protocol.md has the frames.

const SUBPROTOCOL = 'teahouse.v1';
const PREFIX = 'teahouse.outbox/'; // of the keys of the outbox, see keyOf
const SILENCE = 20_000; // ms without a frame before we ask whether anybody is there
const ANSWER = 10_000; // ms to wait for that answer
const OPENING = 8_000; // ms for a socket to open, then for the welcome
const REQUEST = 15_000; // ms for the answer to a request
const HOLD = 200; // ms a message waits for the ones before it
const ADOPT = 15_000; // ms after which another tab's entry is sent from here too
const PROBE = 60_000; // ms between tries to leave the stream for a socket
const STEADY = 5_000; // ms a connection lasts before failures are forgotten
const FIRST = 1000; // ms, the most we wait before the first try; each further wait may be twice as long
const SOON = 100; // ms, the least FIRST after a restart
const LONGEST = 30_000; // ms, the most we wait between two tries
const BLOCKED = 2; // sockets in a row that do not open where none ever did, before the stream is tried
const PROVEN = 5; // and where one did: the server is away, not the way to it
const TRIES = 4; // refusals because the server is busy before an entry is failed
const SPOKE = 1000; // ms after a message in which its author is not typing, whatever comes late
const TYPING = 3000; // ms between signs of typing
const REJOIN = 1000; // ms before a room is joined again when the server names no time
const NOTHING = 1000; // ms before a page is asked for again that came without what is missing, or not at all
const RESTART = 1012; // close code of a server that restarts, with a time for this client alone
const TERMINAL = new Set([4401, 4403, 4409]);
const TOO_BIG = 1009; // close code (RFC 6455, section 7.4.1) for a frame over the server's bound

/** A refusal: `code` is one of the protocol's codes, `retry` is in ms (0: no use trying again). */
export class TeahouseError extends Error {
  constructor({ code, message = code, retry_ms = 0 }) {
    super(message);
    this.name = 'TeahouseError';
    this.code = code;
    this.retry = retry_ms;
  }
}

/** The wait that a close reason or a header asks for, or undefined. */
function retryIn(reason) {
  const found = /retry_ms=(\d+)/.exec(reason || '');
  return found ? Number(found[1]) : undefined;
}

/** The code points of text as the server counts them: NFC, without white space at its end. */
const codePoints = (text) => [...text.replace(/\r\n?/g, '\n').normalize('NFC').trimEnd()].length;

const bytes = (frame) => new TextEncoder().encode(JSON.stringify(frame)).length;

function randomName() {
  // crypto.randomUUID does not exist on plain http; getRandomValues does.
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (b) => b.toString(16).padStart(2, '0')).join('');
}

const emit = (target, type, detail) => {
  const event = new Event(type);
  event.detail = detail;
  target.dispatchEvent(event);
};

/** What a client needs from its surroundings; each part can be given in the options. */
function surroundings(o) {
  const g = globalThis;
  let storage = o.storage;
  try { storage ??= g.localStorage; } catch { /* forbidden: the outbox lives in memory */ }
  return {
    WebSocket: o.WebSocket ?? g.WebSocket,
    EventSource: o.EventSource ?? g.EventSource,
    fetch: o.fetch ?? ((...a) => g.fetch(...a)),
    events: o.events ?? (typeof g.addEventListener === 'function' ? g : new EventTarget()),
    random: o.random ?? Math.random,
    clock: o.clock ?? {
      now: () => Date.now(),
      setTimeout: (f, ms) => g.setTimeout(f, ms),
      clearTimeout: (t) => g.clearTimeout(t),
    },
    storage: storage ?? null,
  };
}

// A line carries frames. It tells its owner through on.open(), on.frame(f) and,
// once and last, on.end(code, reason, opened).

/** A line over a WebSocket. */
class SocketLine {
  transport = 'websocket';
  #socket;
  #on;
  #opened = false;
  #timer;
  #env;

  constructor(env, base, on) {
    this.#env = env;
    this.#on = on;
    const url = new URL('ws', base);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    this.#timer = env.clock.setTimeout(() => this.#end(0, 'no answer'), OPENING);
    try {
      this.#socket = new env.WebSocket(url.href, [SUBPROTOCOL]);
    } catch {
      env.clock.clearTimeout(this.#timer);
      this.#timer = env.clock.setTimeout(() => this.#end(0, 'blocked'), 0);
      return;
    }
    this.#socket.onopen = () => {
      env.clock.clearTimeout(this.#timer);
      this.#opened = true;
      this.#on?.open();
    };
    this.#socket.onmessage = (e) => {
      let frame;
      try { frame = JSON.parse(e.data); } catch { return; }
      if (frame && typeof frame === 'object') this.#on?.frame(frame);
    };
    this.#socket.onclose = (e) => this.#end(e.code, e.reason);
  }

  send(frame) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  close() {
    this.#on = null;
    this.#env.clock.clearTimeout(this.#timer);
    try { this.#socket?.close(1000); } catch { /* it never opened */ }
  }

  #end(code, reason) {
    const on = this.#on;
    this.close();
    on?.end(code, reason, this.#opened);
  }
}

/**
 * A line for networks that let no WebSocket through: server-sent events one
 * way, POST the other. It speaks the same frames, as far as HTTP can.
 */
class StreamLine {
  transport = 'stream';
  #env;
  #base;
  #on;
  #hello = null;
  #welcomed = false;
  #wanted = new Map(); // room -> ref of its newest join
  #streams = new Map();

  constructor(env, base, on) {
    this.#env = env;
    this.#base = base;
    this.#on = on;
    Promise.resolve().then(() => this.#on?.open());
  }

  send(frame) {
    switch (frame.type) {
      case 'hello': this.#hello = frame; break;
      case 'join': this.#join(frame); break;
      case 'leave': this.#leave(frame); break;
      case 'post': this.#post(frame); break;
      case 'history': this.#history(frame); break;
      case 'ping': this.#frame({ type: 'pong', ref: frame.ref }); break;
      case 'typing': break;
      default: this.#frame({ type: 'error', ref: frame.ref, code: 'unsupported', message: 'not possible without a WebSocket' });
    }
  }

  close() {
    this.#on = null;
    for (const s of this.#streams.values()) s.close();
    this.#streams.clear();
    this.#wanted.clear();
  }

  #frame(f) { this.#on?.frame(f); }

  #welcome() {
    if (!this.#welcomed) this.#frame({ type: 'welcome', ref: this.#hello?.ref });
    this.#welcomed = true;
  }

  #end(reason) {
    const on = this.#on;
    this.close();
    on?.end(0, reason, this.#welcomed);
  }

  #url(room, what, query = {}) {
    const url = new URL(`api/rooms/${encodeURIComponent(room)}/${what}`, this.#base);
    for (const [k, v] of Object.entries(query)) if (v !== undefined && v !== null) url.searchParams.set(k, v);
    return url.href;
  }

  /** The answer's JSON; a refusal becomes an error frame and null, no answer ends the line. */
  async #ask(url, init, about) {
    let response, body;
    try {
      response = await this.#env.fetch(url, { credentials: 'same-origin', ...init });
      body = await response.json().catch(() => ({}));
    } catch {
      this.#end('no answer');
      return null;
    }
    if (response.ok) return body;
    const after = Number(response.headers.get('Retry-After')) * 1000;
    const busy = response.status === 429 || response.status >= 500;
    const retry = body.retry_ms ?? (after || (busy ? 2000 : 0));
    if (!retry) this.#welcome(); // who refuses for good is there
    this.#frame({ type: 'error', ...about, code: body.code ?? `http_${response.status}`, message: body.message, retry_ms: retry });
    return null;
  }

  async #join({ ref, room, after, epoch, limit }) {
    let page = null;
    this.#wanted.set(room, ref);
    if (after === undefined) {
      page = await this.#ask(this.#url(room, 'messages', { limit: limit || 50 }), {}, { ref });
      // Nobody would close the stream of a line that has ended meanwhile, or of a room that was left.
      if (!page || this.#wanted.get(room) !== ref) return;
    }
    const messages = page?.messages ?? [];
    const from = page ? (messages[0]?.seq ?? 1) - 1 : after;
    const last = messages.at(-1)?.seq ?? from;
    // A page just read is of the server's own epoch.
    const stream = new this.#env.EventSource(this.#url(room, 'stream', { after: last, epoch: page ? undefined : epoch }));
    this.#streams.get(room)?.close();
    this.#streams.set(room, stream);
    let joined = false;
    stream.onopen = () => {
      if (joined) return;
      joined = true;
      this.#welcome();
      this.#frame({ type: 'joined', ref, room, after: from, last, first: page?.first ?? false });
      this.#frame({ type: 'messages', room, messages });
    };
    let fresh = false;
    stream.addEventListener('reset', () => { fresh = true; });
    stream.addEventListener('message', (e) => {
      const message = JSON.parse(e.data);
      if (fresh) {
        const [now] = (e.lastEventId ?? '').split('-'); // the id of an event is its epoch and seq
        this.#frame({ type: 'joined', room, after: message.seq - 1, last: message.seq, first: message.seq === 1, reset: true, epoch: now || undefined });
      }
      fresh = false;
      this.#frame({ type: 'message', room, ...message });
    });
    stream.onerror = () => this.#end('stream ended');
  }

  #leave({ ref, room }) {
    this.#streams.get(room)?.close();
    this.#streams.delete(room);
    this.#wanted.delete(room);
    this.#frame({ type: 'left', ref, room });
  }

  async #post({ ref, room, nonce, text }) {
    const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ text, nonce }) };
    const stored = await this.#ask(this.#url(room, 'messages'), init, { ref, room, nonce });
    if (stored) this.#frame({ type: 'ack', ref, room, nonce, seq: stored.seq, at: stored.at });
  }

  async #history({ ref, room, before, after, around, limit }) {
    const page = await this.#ask(this.#url(room, 'messages', { before, after, around, limit }), {}, { ref });
    if (page) this.#frame({ type: 'history', ref, room, ...page });
  }
}

/**
 * A room one follows. Read `name`, `position` (seq of the newest message seen,
 * null before any), `people` (Map of id to person) and `count`.
 *
 * Events, each with a `detail`:
 *   reset    {first}            drop what you show: the newest page follows as messages
 *   message  {message, after}   the next message; `after` is the position before it
 *   entry    entry              an entry is new or changed: state is pending, sent,
 *                               failed (with code and message) or discarded
 *   here     {count}            who is here has changed
 *   typing   {people}           who has been writing in the last seconds
 *   refused  TeahouseError      the server will not have one in this room: it has ended
 */
export class Room extends EventTarget {
  name;
  position;
  people = new Map();
  count = 0;
  joined = false;
  refused = null; // why the room has ended, a TeahouseError
  all; // whether everything missed is wanted, however much
  #client;
  #env;
  #outbox = new Map(); // nonce -> entry, in the order it was posted
  #inflight = null;
  #blocked = false;
  #held = new Map(); // seq -> message that came before its predecessors
  #timers = new Set();
  #filling = false;
  #typed = -Infinity;
  #newest = 0;
  #sent = 0; // when the post in flight was sent
  #spoke = new Map(); // id -> when a message of theirs came last

  /** Rooms are made by Teahouse.join. */
  constructor(client, env, name, { after, all }) {
    super();
    this.#client = client;
    this.#env = env;
    this.name = name;
    this.position = after;
    this.all = all;
    this.#load();
  }

  /** Entries not yet confirmed, in the order they were posted. */
  get outbox() { return [...this.#outbox.values()]; }

  /** Since when (ms of the clock) a post has been waiting for the server's answer; 0 when none has. */
  get unanswered() { return this.#inflight ? this.#sent : 0; }

  /** Says text; returns its entry at once. It is sent now or when there is a connection. */
  post(text) {
    const at = Math.max(this.#env.clock.now(), this.#newest + 1);
    const entry = { room: this.name, nonce: randomName(), text, at, state: 'pending', tab: this.#client.tab, tries: 0 };
    this.#outbox.set(entry.nonce, entry);
    this.#newest = at;
    // The next sign of typing is for what comes after, as soon as it would be believed.
    this.#typed = this.#env.clock.now() - TYPING + SPOKE;
    this.#save(entry);
    emit(this, 'entry', entry);
    this._pump();
    return entry;
  }

  /** Sends a failed entry again, with the nonce it had. */
  retry(nonce) {
    const entry = this.#outbox.get(nonce);
    if (entry?.state !== 'failed') return;
    Object.assign(entry, { state: 'pending', tries: 0, code: undefined, message: undefined, tab: this.#client.tab });
    this.#save(entry);
    emit(this, 'entry', entry);
    this._pump();
  }

  /** Forgets an entry. If it was on its way already it may still appear as a message. */
  discard(nonce) {
    const entry = this.#outbox.get(nonce);
    if (!entry) return;
    this.#drop(entry, 'discarded');
    this._pump();
  }

  /** Tells that the message with this nonce is known to be stored, so it need not be sent. */
  settled(nonce, seq, at) {
    const entry = this.#outbox.get(nonce);
    if (!entry) return null;
    Object.assign(entry, { seq, stored: at });
    this.#drop(entry, 'sent');
    return entry;
  }

  /** A page of history: {before} or {after} or {around} a seq, and limit. Resolves to {messages, first, last}. */
  history(range) { return this.#client.request({ type: 'history', room: this.name, ...range }); }

  /** One page of the people here, after the given id. */
  who(after) { return this.#client.request({ type: 'who', room: this.name, after }); }

  /** Tells the others that one is writing; call it as often as you like. */
  typing() {
    const now = this.#env.clock.now();
    if (!this.joined || now - this.#typed < TYPING) return;
    this.#typed = now;
    this.#client._send({ type: 'typing', room: this.name });
  }

  leave() {
    this.#stop();
    this.#client._left(this);
  }

  // What follows is called by Teahouse only.

  _down() {
    this.joined = false;
    this.#inflight = null;
    this.#filling = false;
  }

  _forget() { this.position = null; this.#held.clear(); }

  _refuse(f) {
    this.#stop();
    this.refused = new TeahouseError(f);
    emit(this, 'refused', this.refused);
  }

  _frame(f) {
    switch (f.type) {
      case 'joined': return this.#onJoined(f);
      case 'messages': return this.#accept(f.messages ?? [], false);
      case 'message': return this.#accept([f], false);
      case 'here': return this.#onHere(f);
      case 'typing': return this.#onTyping(f);
      case 'ack': return this.#onAck(f);
      case 'error': return this.#onError(f);
    }
  }

  _pump() {
    if (!this.joined || this.#inflight || this.#blocked) return;
    for (const entry of this.#outbox.values()) {
      if (entry.state !== 'pending' || entry.tab !== this.#client.tab) continue;
      const frame = { type: 'post', room: this.name, nonce: entry.nonce, text: entry.text };
      const { text, frame: most } = this.#client.limits;
      if (text && codePoints(entry.text) > text || most && bytes(frame) > most) {
        // The server would end the connection over such a frame, each time it comes.
        this.#fail(entry, 'too_long');
        continue;
      }
      this.#inflight = entry.nonce;
      this.#sent = this.#env.clock.now();
      this.#client._send(frame);
      return;
    }
  }

  /** The entry that was sent and not yet answered. */
  get _inflight() { return this.#outbox.get(this.#inflight); }

  /** The connection has ended over the entry in flight. */
  _tooLong() { this.#fail(this._inflight, 'too_long'); }

  _stored({ key, newValue }) {
    const mine = `${PREFIX}${this.name}/`;
    if (!key?.startsWith(mine)) return;
    const known = this.#outbox.get(key.slice(mine.length));
    if (newValue === null) {
      // Confirmed or discarded in another tab; if confirmed, the message comes here too.
      if (known) this.#drop(known, 'discarded');
      return;
    }
    const entry = parseEntry(this.name, key, newValue);
    if (!entry) return;
    this.#outbox.set(entry.nonce, known ? Object.assign(known, entry) : entry);
    emit(this, 'entry', known ?? entry);
    this.#after(ADOPT, () => this.#adopt(entry.nonce));
  }

  #onJoined(f) {
    if (f.room && f.room !== this.name) this.#rename(f.room);
    if (f.epoch) this.#client.epoch = f.epoch;
    if (f.reset || this.position === null || f.after !== this.position) {
      this._forget();
      this.position = f.after;
      emit(this, 'reset', { first: f.first });
    }
    this.joined = true;
    if (f.here) this.#onHere({ ...f.here, fresh: true });
    this._pump();
  }

  #onAck(f) {
    this.#landed(f.nonce);
    this.settled(f.nonce, f.seq, f.at);
    this._pump();
  }

  #onError(f) {
    this.#landed(f.nonce);
    const entry = this.#outbox.get(f.nonce);
    if (entry && entry.state === 'pending') {
      const again = f.retry_ms > 0 && (f.code === 'rate_limited' || ++entry.tries < TRIES);
      if (f.code === 'not_joined') {
        this.joined = false;
        this.#client._join(this);
      } else if (again) {
        this.#blocked = true;
        this.#after(f.retry_ms * (1 + this.#env.random() / 4), () => { this.#blocked = false; this._pump(); });
      } else {
        this.#fail(entry, f.code, f.message);
      }
    }
    this._pump();
  }

  #fail(entry, code, message) {
    Object.assign(entry, { state: 'failed', code, message });
    this.#landed(entry.nonce);
    this.#save(entry);
    emit(this, 'entry', entry);
  }

  /** A frame about typing may come after the message that was typed. */
  #onTyping({ people = [] }) {
    const now = this.#env.clock.now();
    for (const [id, at] of this.#spoke) if (now - at >= SPOKE) this.#spoke.delete(id);
    emit(this, 'typing', { people: people.filter((p) => p.id !== this.#client.you?.id && !this.#spoke.has(p.id)) });
  }

  #onHere(f) {
    if (f.people && (f.fresh || f.ref)) this.people = new Map(f.people.map((p) => [p.id, p]));
    for (const p of f.joined ?? []) this.people.set(p.id, p);
    for (const id of f.left ?? []) this.people.delete(id);
    this.count = f.count ?? this.people.size;
    if (f.more) this.who().then((page) => this.#onHere({ ...page, fresh: true }), () => {});
    emit(this, 'here', { count: this.count });
  }

  /** Takes messages in ascending order; complete says that what they skip does not exist. */
  #accept(messages, complete) {
    for (const m of messages) {
      if (!Number.isInteger(m?.seq)) continue;
      if (m.nonce && (!this.#client.you || m.author?.id === this.#client.you.id)) {
        this.#landed(m.nonce);
        this.settled(m.nonce, m.seq, m.at);
      }
      if (this.position !== null && m.seq <= this.position) continue;
      if (complete || m.seq === this.position + 1) this.#deliver(m);
      else this.#held.set(m.seq, m);
    }
    for (let m; (m = this.#held.get(this.position + 1));) this.#deliver(m);
    for (const seq of this.#held.keys()) if (seq <= this.position) this.#held.delete(seq);
    if (this.#held.size && !this.#filling) this.#fill(HOLD);
    this._pump();
  }

  #deliver(message) {
    const after = this.position;
    this.position = message.seq;
    this.#held.delete(message.seq);
    this.#spoke.set(message.author?.id, this.#env.clock.now());
    emit(this, 'message', { message, after });
  }

  #fill(wait) {
    this.#filling = true;
    this.#after(wait, async () => {
      this.#filling = false;
      if (!this.#held.size || !this.joined) return;
      this.#filling = true;
      try {
        // What is held may have come after the page was read, with a hole of its own before it.
        const page = await this.history({ after: this.position, limit: 200 });
        this.#accept(page.messages, true);
        this.#filling = false;
        if (this.#held.size) this.#fill(page.messages.length ? HOLD : NOTHING);
      } catch {
        if (this.joined) this.#fill(NOTHING);
      }
    });
  }

  #landed(nonce) { if (nonce && this.#inflight === nonce) this.#inflight = null; }

  #drop(entry, state) {
    this.#outbox.delete(entry.nonce);
    this.#landed(entry.nonce);
    entry.state = state;
    this.#remove(entry);
    emit(this, 'entry', entry);
  }

  #remove(entry) {
    try { this.#env.storage?.removeItem(keyOf(entry)); } catch { /* gone anyway */ }
  }

  #save(entry) {
    try {
      this.#env.storage?.setItem(keyOf(entry), JSON.stringify(entry));
      entry.kept = this.#env.storage !== null;
    } catch {
      entry.kept = false; // full or forbidden: it lives as long as this page
    }
  }

  /** Takes what is kept under the room's name into the outbox, each in its place. */
  #load() {
    const found = [];
    try {
      const s = this.#env.storage;
      for (let i = 0; i < (s?.length ?? 0); i++) found.push(parseEntry(this.name, s.key(i), s.getItem(s.key(i))));
    } catch { /* forbidden */ }
    const fresh = found.filter((entry) => entry && !this.#outbox.has(entry.nonce));
    for (const entry of fresh) {
      entry.tab = this.#client.tab;
      entry.tries = 0;
      this.#newest = Math.max(this.#newest, entry.at);
      this.#outbox.set(entry.nonce, entry);
    }
    this.#outbox = new Map([...this.#outbox].sort(([, a], [, b]) => a.at - b.at));
    for (const entry of fresh) emit(this, 'entry', entry);
  }

  /** The server spells the room in its own way, and what is kept goes by that from now on. */
  #rename(name) {
    this.#client._renamed(this, name);
    this.name = name;
    this.#load();
    for (const entry of this.#outbox.values()) {
      const { room, nonce, kept } = entry;
      if (room === name) continue;
      entry.room = name;
      this.#save(entry);
      if (entry.kept) this.#remove({ room, nonce });
      else Object.assign(entry, { room, kept }); // no place for it: better where it was than nowhere
    }
  }

  #adopt(nonce) {
    const entry = this.#outbox.get(nonce);
    if (entry) entry.tab = this.#client.tab;
    this._pump();
  }

  #stop() {
    this._down();
    this.#timers.forEach((t) => this.#env.clock.clearTimeout(t));
  }

  #after(ms, f) {
    const t = this.#env.clock.setTimeout(() => { this.#timers.delete(t); f(); }, ms);
    this.#timers.add(t);
  }
}

/** Where an entry is kept: under the name its room had when it was saved. */
const keyOf = ({ room, nonce }) => `${PREFIX}${room}/${nonce}`;

/** The entry of a room that is kept under key, or null. */
function parseEntry(room, key, json) {
  if (!key?.startsWith(keyOf({ room, nonce: '' }))) return null;
  try {
    const e = { ...JSON.parse(json), room };
    return typeof e.nonce === 'string' && key === keyOf(e) && typeof e.text === 'string' && Number.isFinite(e.at) ? e : null;
  } catch {
    return null;
  }
}

/**
 * The connection to one server.
 *
 * Options: url (base URL of the server, default the page's origin), locale,
 * client (name for the server's log), token (identity of a client without
 * cookies), you, epoch, and for tests WebSocket, EventSource, fetch, storage,
 * events, clock {now, setTimeout, clearTimeout} and random.
 *
 * Events: "state" (detail is `state`), "welcome" (the frame), "renamed" (person).
 */
export class Teahouse extends EventTarget {
  /** name: idle, connecting, open, waiting (until retryAt), offline, closed (for good; code says why). */
  state = { name: 'idle', transport: 'websocket' };
  you;
  epoch;
  server;
  limits = {};
  tab = randomName();
  #env;
  #options;
  #base;
  #rooms = new Map();
  #line = null;
  #probe = null;
  #requests = new Map(); // ref -> what waits for the answer
  #joins = new Map(); // ref -> room
  #again = new Map(); // room -> timer of the next try to join it
  #refs = 0;
  #attempts = 0;
  #first = FIRST;
  #unopened = 0;
  #patience = BLOCKED;
  #opened = 0;
  #heard = 0;
  #retry;
  #watch;
  #probing;
  #listening;

  constructor(options = {}) {
    super();
    this.#options = options;
    this.#env = surroundings(options);
    this.#base = new URL('/', options.url ?? globalThis.location?.origin);
    this.you = options.you;
    this.epoch = options.epoch;
    this.#listening = {
      online: () => this.wake(),
      offline: () => this.#ended(0, 'offline'),
      storage: (e) => this.#rooms.forEach((r) => r._stored(e)),
    };
  }

  /** Connects and stays connected. */
  connect() {
    if (this.state.name !== 'idle' && this.state.name !== 'closed') return;
    for (const [type, f] of Object.entries(this.#listening)) this.#env.events.addEventListener(type, f);
    this.#attempt();
  }

  /** Ends the connection; the outbox stays for the next time. */
  close() {
    for (const [type, f] of Object.entries(this.#listening)) this.#env.events.removeEventListener(type, f);
    this.#hangUp();
    this.#set({ name: 'closed' });
  }

  /**
   * Follows a room. after is the seq up to which the caller has the log already;
   * null asks for the newest page. With all, everything that was missed comes as
   * messages, however much; without it, more than 500 are a reset.
   */
  join(name, { after = null, all = false } = {}) {
    let room = this.#rooms.get(name);
    if (!room) {
      room = new Room(this, this.#env, name, { after, all });
      this.#rooms.set(name, room);
      if (this.state.name === 'open') this._join(room);
    }
    return room;
  }

  /** Tries now instead of later; on a connection that looks alive, asks whether it is. */
  wake() {
    const { name } = this.state;
    if (name === 'waiting' || name === 'offline') this.#attempt();
    else if (name === 'open') this.#ask(3000);
  }

  /** Gives the own person a new name; resolves to the person, rejects with TeahouseError. */
  async rename(name) { return (await this.request({ type: 'rename', name })).person; }

  /** Sends a frame and resolves to the frame that answers it. */
  request(frame) {
    const { clock } = this.#env;
    return new Promise((resolve, reject) => {
      if (this.state.name !== 'open') return reject(new TeahouseError({ code: 'disconnected' }));
      const ref = `r${++this.#refs}`;
      const timer = clock.setTimeout(() => this.#answer({ type: 'error', ref, code: 'timeout' }), REQUEST);
      this.#requests.set(ref, { resolve, reject, timer });
      this._send({ ...frame, ref });
    });
  }

  // What follows is called by Room only.

  _send(frame) { this.#line?.send(frame); }

  _join(room) {
    this.#env.clock.clearTimeout(this.#again.get(room));
    this.#again.delete(room);
    const after = room.position ?? undefined;
    const ref = `j${++this.#refs}`;
    this.#joins.set(ref, room);
    this._send({ type: 'join', ref, room: room.name, after, epoch: after === undefined ? undefined : this.epoch, all: room.all || undefined });
  }

  _left(room) {
    if (this.#rooms.get(room.name) !== room) return;
    this.#rooms.delete(room.name);
    this._send({ type: 'leave', room: room.name });
  }

  _renamed(room, name) {
    this.#rooms.delete(room.name);
    this.#rooms.set(name, room);
  }

  #set(state) {
    this.state = { transport: this.#line?.transport ?? this.state.transport, ...state };
    emit(this, 'state', this.state);
  }

  #attempt() {
    this.#hangUp();
    this.#dial(SocketLine);
  }

  #dial(Line) {
    this.#line = this.#connectLine(Line);
    this.#set({ name: 'connecting' });
  }

  #connectLine(Line) {
    const line = new Line(this.#env, this.#base, {
      open: () => (line === this.#probe ? this.#switch(line) : this.#hello()),
      frame: (f) => this.#frame(f),
      end: (code, reason, opened) => {
        if (line === this.#probe) this.#probe = null;
        else if (line === this.#line) this.#ended(code, reason, opened);
      },
    });
    return line;
  }

  #hello() {
    const o = this.#options;
    this.#opened = this.#heard = this.#env.clock.now();
    this.#timer(OPENING, () => this.#ended(0, 'no welcome'));
    this._send({ type: 'hello', ref: 'hello', client: o.client ?? 'teahouse.js', locale: o.locale, token: o.token, epoch: this.epoch });
    this.#rooms.forEach((r) => this._join(r));
  }

  #frame(f) {
    this.#heard = this.#env.clock.now();
    if (f.type === 'welcome') return this.#welcome(f);
    if (f.type === 'renamed') this.#onRenamed(f.person);
    if (this.#joins.has(f.ref)) return this.#onJoin(f);
    if (f.ref && this.#answer(f)) return;
    const room = this.#rooms.get(f.room);
    if (room && f.type === 'error' && !f.nonce) this.#joinAgain(room, f);
    else if (room) room._frame(f);
    else if (f.nonce) this.#rooms.forEach((r) => r._frame(f));
  }

  #welcome(f) {
    this.you = f.you ?? this.you;
    this.epoch = f.epoch ?? this.epoch;
    this.server = f.server ?? this.server;
    this.limits = f.limits ?? this.limits;
    if (f.token) this.#options = { ...this.#options, token: f.token };
    if (this.#line.transport === 'websocket') {
      this.#unopened = 0;
      this.#patience = PROVEN;
    }
    const asked = new Set([...this.#joins.values(), ...this.#again.keys()]);
    for (const room of this.#rooms.values()) if (!room.joined && !asked.has(room)) this._join(room); // since hello
    this.#set({ name: 'open' });
    this.#listen();
    if (this.#line.transport === 'stream') this.#look();
    emit(this, 'welcome', f);
  }

  #onJoin(f) {
    const room = this.#joins.get(f.ref);
    this.#joins.delete(f.ref);
    if (this.#rooms.get(room.name) !== room) return;
    if (f.type === 'joined') return room._frame(f);
    if (f.code === 'bad_seq') {
      // The server's log ends before ours: what we hold is not its log.
      room._forget();
      this._join(room);
    } else if (f.retry_ms > 0) {
      this.#joinAgain(room, f);
    } else {
      this.#rooms.delete(room.name);
      room._refuse(f);
    }
  }

  /** A room the server could not go on with is joined again, or it would stay silent. */
  #joinAgain(room, { retry_ms: wait }) {
    room._down();
    if (this.#again.has(room)) return;
    this.#again.set(room, this.#env.clock.setTimeout(() => {
      this.#again.delete(room);
      if (!room.joined && this.#rooms.get(room.name) === room) this._join(room);
    }, wait > 0 ? wait : REJOIN));
  }

  #onRenamed(person) {
    if (person?.id === this.you?.id) this.you = person;
    for (const r of this.#rooms.values()) if (r.people.has(person.id)) r.people.set(person.id, person);
    emit(this, 'renamed', person);
  }

  #answer(f) {
    const asked = this.#requests.get(f.ref);
    if (!asked) return false;
    this.#requests.delete(f.ref);
    this.#env.clock.clearTimeout(asked.timer);
    if (f.type === 'error') asked.reject(new TeahouseError(f));
    else asked.resolve(f);
    return true;
  }

  #timer(ms, f) {
    this.#env.clock.clearTimeout(this.#watch);
    this.#watch = this.#env.clock.setTimeout(f, ms);
  }

  /** Waits for silence; a pulled cable says nothing. */
  #listen() {
    const quiet = this.#env.clock.now() - this.#heard;
    if (quiet >= SILENCE) return this.#ask(ANSWER);
    this.#timer(SILENCE - quiet, () => this.#listen());
  }

  #ask(wait) {
    const asked = this.#env.clock.now();
    this._send({ type: 'ping', ref: 'ping' });
    this.#timer(wait, () => {
      if (this.#heard >= asked) return this.#listen();
      this.#ended(0, 'silent');
      this.#attempt();
    });
  }

  /** While on the stream, looks from time to time whether a socket gets through. */
  #look() {
    this.#env.clock.clearTimeout(this.#probing);
    this.#probing = this.#env.clock.setTimeout(() => {
      this.#probe?.close();
      this.#probe = this.#connectLine(SocketLine);
      this.#look();
    }, PROBE);
  }

  #switch(line) {
    this.#probe = null;
    this.#hangUp();
    this.#line = line;
    this.#set({ name: 'connecting' });
    this.#hello();
  }

  #hangUp() {
    const { clock } = this.#env;
    for (const t of [this.#retry, this.#watch, this.#probing]) clock.clearTimeout(t);
    this.#line?.close();
    this.#probe?.close();
    this.#line = this.#probe = null;
    this.#joins.clear();
    this.#again.forEach((t) => clock.clearTimeout(t));
    this.#again.clear();
    this.#rooms.forEach((r) => r._down());
    for (const ref of [...this.#requests.keys()]) this.#answer({ type: 'error', ref, code: 'disconnected' });
  }

  /** Of the posts in flight only the largest can have been over the bound. */
  #tooLong() {
    const size = (room) => bytes(room._inflight.text);
    const [room] = [...this.#rooms.values()].filter((r) => r._inflight).sort((a, b) => size(b) - size(a));
    room?._tooLong();
  }

  #ended(code, reason, opened) {
    if (this.state.name === 'closed') return;
    const socket = this.#line?.transport === 'websocket';
    const away = reason === 'offline' || globalThis.navigator?.onLine === false;
    if (socket && opened === false) this.#unopened++;
    if (this.#opened && this.#env.clock.now() - this.#opened >= STEADY) this.#attempts = 0;
    this.#opened = 0;
    if (code === TOO_BIG) this.#tooLong();
    this.#hangUp();
    if (TERMINAL.has(code)) return this.#set({ name: 'closed', code, reason });
    if (code === 4410) {
      this.epoch = undefined;
      this.#rooms.forEach((r) => r._forget());
    }
    if (socket && this.#unopened >= this.#patience && this.#env.EventSource && !away) return this.#dial(StreamLine);
    const asked = retryIn(reason);
    if (opened !== false) this.#first = FIRST;
    if (code === RESTART && asked !== undefined) {
      // Where the time is short, other servers are there: a try that fails is soon followed by another.
      this.#first = Math.min(Math.max(asked, SOON), FIRST);
      this.#attempts = -1;
    }
    const full = Math.min(LONGEST, this.#first * 2 ** Math.max(this.#attempts++, 0));
    // A restart gives a time to each client; any other end may give one time to all.
    const mine = code === RESTART && asked !== undefined;
    let wait = (asked ?? 0) + (mine ? 0 : this.#env.random() * full);
    if (code === 1013 && asked === undefined) wait = Math.max(wait, 1000);
    if (away) wait = Math.max(wait, ANSWER); // "online" comes first, when it is told
    this.#retry = this.#env.clock.setTimeout(() => this.#attempt(), wait);
    this.#set({ name: away ? 'offline' : 'waiting', retryAt: this.#env.clock.now() + wait, code, reason });
  }
}
