// log.js shows the log of a room: a run of its messages in memory, of which a
// window of at most MAX_NODES is in the document.
//
// Nothing on the screen moves by itself: at the bottom the log stays at the
// bottom, elsewhere the first visible message stays where it is, whatever
// comes above or below it (keep).

import { day, dayName } from './i18n.js';
import { isHead, makeDay, makeMessage, paint, readItem, setName } from './message.js';

const MAX_NODES = 400; // messages in the document
const STEP = 100; // messages brought into the document or asked for at once
const MAX_ITEMS = 6000; // messages in memory
const NEAR = 900; // px from an end at which more is fetched
const UNSEEN = 250; // ms after which messages are added without waiting for a frame
const AT_BOTTOM = 4; // px from the bottom that count as being there

export class Log extends EventTarget {
  #box; // the element that scrolls
  #list;
  #older;
  #room;
  #me;
  #path;
  #items = []; // sent, ascending, without holes
  #waiting = []; // not yet sent, in the order they were written
  #nodes = new Map(); // item -> element
  #painted = new WeakMap(); // element -> what it was last painted as
  #days = new Map(); // day -> element
  #lo = 0; // the window is items[lo..hi)
  #hi = 0;
  #end; // the position up to which items is complete
  #first; // nothing is older than items[0]
  #loading = { older: null, newer: null };
  #failed = { older: false, newer: false };
  #top = 0; // scrollTop and clientHeight when they were last looked at
  #height = 0;
  #queue = [];
  #frame = 0;
  pinned = true;

  /** room is a Room of teahouse.js; me the id of the visitor. */
  constructor(box, room, { me, path, end, first }) {
    super();
    this.#box = box;
    this.#list = box.querySelector('#messages');
    this.#older = box.querySelector('#older');
    this.#room = room;
    this.#me = me;
    this.#path = path;
    this.#end = end;
    this.#first = first;
    this.#takeOver();
    box.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.pinned && this.#toBottom()).observe(box);
    new ResizeObserver(() => this.pinned && this.#toBottom()).observe(this.#list.parentElement);
  }

  /** Whether the newest message is in memory, so that the next one can follow it. */
  get live() { return this.#end >= (this.#queue[0]?.after ?? this.#room.position ?? this.#end); }

  /** The items in memory, ascending. */
  get items() { return this.#items; }

  /** Whether the reader is at the bottom, also when it has just moved. */
  get atBottom() {
    const { scrollHeight, scrollTop, clientHeight } = this.#box;
    if (scrollHeight - scrollTop - clientHeight <= AT_BOTTOM) return this.#hi === this.#items.length && this.live;
    return this.pinned && Math.abs(scrollTop - this.#top) < 1;
  }

  #takeOver() {
    for (const node of [...this.#list.children]) {
      if (node.classList.contains('day')) node.remove();
      else {
        const item = readItem(node);
        this.#items.push(item);
        this.#nodes.set(item, node);
      }
    }
    this.#hi = this.#items.length;
    this.#sync();
    this.#showOlder();
  }

  // What comes in.

  /** Shows an entry of the outbox, or what has become of it. */
  entry(entry, author) {
    let item = this.#waiting.find((i) => i.nonce === entry.nonce);
    if (entry.state === 'discarded') return item && this.#remove(item);
    if (!item) {
      if (entry.state === 'sent' || this.#items.some((i) => i.nonce === entry.nonce)) return;
      item = { seq: 0, nonce: entry.nonce, author, text: entry.text, at: entry.at };
      this.#waiting.push(item);
    }
    item.code = entry.code;
    item.message = entry.message;
    item.state = entry.state;
    if (entry.state === 'sent') return this.#settle(item, entry);
    this.keep(() => this.#sync());
  }

  /** Takes messages of the room in order; they appear with the next frame. */
  add(message, after) {
    this.#queue.push({ message, after });
    if (message.author.id === this.#me) return this.#flush();
    if (!this.#frame) {
      this.#frame = 1;
      requestAnimationFrame(() => this.#flush());
      setTimeout(() => this.#flush(), UNSEEN); // a page that nobody sees gets no frames
    }
  }

  /** Forgets everything: the room's newest page follows. */
  reset(first) {
    this.#queue = [];
    this.#replace([], this.#room.position ?? 0, first);
  }

  /** A person has another name. */
  rename(person) {
    for (const item of [...this.#items, ...this.#waiting]) {
      if (item.author.id !== person.id) continue;
      item.author = person;
      const node = this.#nodes.get(item);
      if (node) setName(node, person);
    }
    this.keep(() => this.#sync());
  }

  #flush() {
    this.#frame = 0;
    if (!this.#queue.length) return;
    this.keep((bottom) => {
      const queue = this.#queue;
      this.#queue = [];
      for (const { message, after } of queue) this.#push(message, after);
      if (bottom) this.#showTail();
      else this.#hi = Math.min(this.#items.length, Math.max(this.#hi, this.#lo + MAX_NODES));
      this.#sync();
    });
  }

  #push(message, after) {
    const waiting = message.author.id === this.#me && this.#waiting.find((i) => i.nonce === message.nonce);
    if (waiting) this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    if (after !== this.#end) {
      // The end of the room is not in memory; scrolling down fetches it.
      if (waiting) this.#drop(waiting);
      return;
    }
    const item = waiting || {};
    Object.assign(item, toItem(message));
    this.#items.push(item);
    this.#end = message.seq;
  }

  /** The server knows the nonce already: the message itself may be in memory or come later. */
  #settle(item, { seq, stored }) {
    item.seq = seq;
    item.at = stored ? Date.parse(stored) : item.at;
    if (seq <= this.#end) this.#remove(item);
    else this.keep(() => this.#sync());
  }

  #remove(item) {
    const at = this.#waiting.indexOf(item);
    if (at < 0) return;
    this.keep(() => {
      this.#waiting.splice(at, 1);
      this.#drop(item);
      this.#sync();
    });
  }

  #drop(item) {
    this.#nodes.get(item)?.remove();
    this.#nodes.delete(item);
  }

  #replace(items, end, first) {
    for (const item of this.#items) this.#drop(item);
    this.pinned = true;
    this.#items = items;
    this.#end = end;
    this.#first = first;
    this.#lo = 0;
    this.#hi = items.length;
    this.#sync();
    this.#showOlder();
  }

  // The window.

  #showTail() {
    this.#hi = this.#items.length;
    if (this.#hi - this.#lo > MAX_NODES) this.#lo = this.#hi - MAX_NODES / 2;
    const excess = this.#lo - MAX_ITEMS / 2;
    if (excess > 0) this.#forget(0, excess);
  }

  /** Forgets items that are far from the window. */
  #forget(from, count) {
    for (const item of this.#items.splice(from, count)) this.#drop(item);
    if (from > 0) {
      this.#end = this.#items.at(-1).seq;
      return;
    }
    this.#lo -= count;
    this.#hi -= count;
    this.#first = false;
    this.#showOlder();
  }

  /** Makes the document show items[lo..hi) and what waits, with the days between. */
  #sync() {
    this.#hi = Math.min(this.#hi, this.#items.length);
    const shown = [...this.#items.slice(this.#lo, this.#hi), ...this.#waiting];
    let before = this.#items[this.#lo - 1];
    let next = this.#list.firstElementChild;
    const place = (node) => {
      if (node === next) {
        next = next.nextElementSibling;
        return;
      }
      node.classList.remove('flash'); // or it would flash whenever it comes by
      this.#list.insertBefore(node, next);
    };
    const used = new Set();
    const twins = sameNames(shown);
    for (const item of shown) {
      const key = day(item.at);
      if ((!before || day(before.at) !== key) && !used.has(key)) {
        used.add(key);
        place(this.#dayRow(key, item.at));
      }
      let node = this.#nodes.get(item);
      if (!node) this.#nodes.set(item, node = makeMessage(item, item.author.id === this.#me));
      const look = `${item.state} ${item.seq} ${item.at}`;
      if (this.#painted.get(node) !== look) paint(node, item, this.#path);
      this.#painted.set(node, look);
      node.classList.toggle('head', isHead(item, before));
      node.classList.toggle('twin', twins.has(item.author.name));
      place(node);
      before = item;
    }
    while (next) {
      const gone = next;
      next = next.nextElementSibling;
      gone.remove();
    }
    if (this.#nodes.size > shown.length + STEP) this.#dropOutside(new Set(shown));
    this.#showOlder();
  }

  #dropOutside(shown) {
    for (const item of this.#nodes.keys()) if (!shown.has(item)) this.#nodes.delete(item);
  }

  #dayRow(key, at) {
    let row = this.#days.get(key);
    if (!row) this.#days.set(key, row = makeDay(key));
    row.firstChild.textContent = dayName(at);
    return row;
  }

  /** Changes the document in change(bottom) without moving what is read. */
  keep(change) {
    const bottom = this.atBottom;
    const anchor = bottom ? null : this.anchor();
    change(bottom);
    if (bottom) this.#toBottom();
    else this.#restore(anchor);
  }

  /** The first visible message and where it is: {seq, node, y}. */
  anchor() {
    const top = this.#box.getBoundingClientRect().top;
    for (const node of this.#list.children) {
      if (!node.classList.contains('message')) continue;
      const box = node.getBoundingClientRect();
      if (box.bottom > top) return { seq: Number(node.dataset.seq) || 0, node, y: box.top - top };
    }
    return null;
  }

  #restore(anchor) {
    const node = anchor?.node?.isConnected ? anchor.node : anchor && this.node(anchor.seq);
    if (!node) return;
    const y = node.getBoundingClientRect().top - this.#box.getBoundingClientRect().top;
    if (y !== anchor.y) this.#box.scrollTop += y - anchor.y;
    this.#look();
  }

  #toBottom() {
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#look();
    this.pinned = true;
  }

  #look() {
    this.#top = this.#box.scrollTop;
    this.#height = this.#box.clientHeight;
    this.pinned = this.#box.scrollHeight - this.#top - this.#box.clientHeight <= AT_BOTTOM && this.live && this.#hi === this.#items.length;
  }

  #scrolled() {
    // A box that changes its height scrolls too: that is not the reader's doing.
    if (this.pinned && this.#box.clientHeight !== this.#height) this.#toBottom();
    this.#look();
    this.dispatchEvent(new Event('scrolled'));
    this.#more();
  }

  // Moving about.

  /** The element of a message, or null when it is not in the document. */
  node(seq) { return seq ? this.#list.querySelector(`[data-seq="${Number(seq)}"]`) : null; }

  /** Fetches what the reader is about to see. */
  #more() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    if (scrollTop < NEAR) this.#lo > 0 ? this.#grow(-STEP) : this.#fetch('older');
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.#hi < this.#items.length ? this.#grow(STEP) : this.#fetch('newer');
  }

  #grow(step) {
    this.keep(() => {
      if (step < 0) {
        this.#lo = Math.max(0, this.#lo + step);
        this.#hi = Math.min(this.#hi, this.#lo + MAX_NODES);
      } else {
        this.#hi = Math.min(this.#items.length, this.#hi + step);
        this.#lo = Math.max(this.#lo, this.#hi - MAX_NODES);
      }
      this.#sync();
    });
  }

  /** Asks for more on one side; one request at a time. */
  async #fetch(side) {
    const older = side === 'older';
    if (this.#loading[side] || this.#failed[side] || (older ? this.#first || !this.#items.length : this.live)) return;
    const range = older ? { before: this.#items[0].seq } : { after: this.#end };
    const asked = this.#loading[side] = this.#room.history({ ...range, limit: STEP });
    const items = this.#items;
    if (older) this.#showOlder();
    try {
      const page = await asked;
      if (items === this.#items) this.keep(() => (older ? this.#prepend(page) : this.#append(page)));
    } catch {
      this.#failed[side] = true;
    }
    this.#loading[side] = null;
    if (older) this.keep(() => this.#showOlder());
    if (!this.#failed[side]) requestAnimationFrame(() => this.#more());
  }

  #prepend({ messages, first }) {
    const items = messages.filter((m) => m.seq < this.#items[0].seq).map(toItem);
    this.#items.unshift(...items);
    this.#first = first;
    this.#hi = Math.min(this.#hi + items.length, MAX_NODES);
    if (this.#items.length > MAX_ITEMS) this.#forget(MAX_ITEMS / 2, Infinity);
    this.#sync();
  }

  #append({ messages }) {
    const items = messages.filter((m) => m.seq > this.#end).map(toItem);
    for (const item of items) {
      const waiting = item.nonce && item.author.id === this.#me && this.#waiting.find((i) => i.nonce === item.nonce);
      if (waiting) {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        this.#drop(waiting);
      }
    }
    this.#items.push(...items);
    this.#end = Math.max(this.#end, messages.at(-1)?.seq ?? this.#room.position);
    this.#hi = this.#items.length;
    this.#lo = Math.max(this.#lo, this.#hi - MAX_NODES);
    this.#sync();
  }

  /** After a failure, or when the connection is back. */
  again() {
    this.#failed = { older: false, newer: false };
    this.#showOlder();
    this.#more();
  }

  #showOlder() {
    const state = this.#first && this.#lo === 0 ? 'first' : this.#failed.older ? 'failed' : this.#loading.older ? 'loading' : 'idle';
    this.#box.toggleAttribute('aria-busy', false);
    if (state === 'loading') this.#box.setAttribute('aria-busy', 'true');
    if (this.#older.dataset.state === state) return;
    this.#older.dataset.state = state;
    this.dispatchEvent(new Event('older'));
  }

  /** Brings a message to the middle, or to y px below the top; resolves to its element or null. */
  async go(seq, y = null) {
    let at = this.#items.findIndex((i) => i.seq === seq);
    if (at < 0) {
      const page = await this.#room.history({ around: seq, limit: STEP });
      this.#replace(page.messages.map(toItem), page.messages.at(-1)?.seq ?? 0, page.first);
      at = this.#items.findIndex((i) => i.seq === seq);
    } else if (at < this.#lo || at >= this.#hi) {
      this.#lo = Math.max(0, at - STEP);
      this.#hi = Math.min(this.#items.length, at + STEP);
      this.#sync();
    }
    const node = this.node(seq);
    if (!node) return null;
    const middle = (this.#box.clientHeight - node.offsetHeight) / 2;
    this.#restore({ node, y: y ?? Math.max(0, middle) });
    this.#more();
    return node;
  }

  /** Shows the newest messages. */
  async latest() {
    if (!this.live) {
      const page = await this.#room.history({ limit: STEP });
      this.#replace(page.messages.map(toItem), page.messages.at(-1)?.seq ?? 0, page.first);
    }
    // A message may have come between the reading of that page and its arrival.
    for (let tries = 0; !this.live && tries < 5; tries++) {
      this.#append(await this.#room.history({ after: this.#end, limit: STEP }));
    }
    this.#hi = this.#items.length;
    this.#lo = Math.max(this.#lo, this.#hi - MAX_NODES);
    this.#sync();
    this.#toBottom();
  }
}

/** The names that more than one author has: their tags are shown. */
function sameNames(items) {
  const first = new Map();
  const same = new Set();
  for (const { author: { id, name } } of items) {
    if ((first.get(name) ?? id) !== id) same.add(name);
    first.set(name, id);
  }
  return same;
}

const toItem = (m) => ({ seq: m.seq, nonce: m.nonce, author: m.author, text: m.text, at: Date.parse(m.at), state: 'sent' });
