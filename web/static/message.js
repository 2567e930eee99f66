// message.js makes and changes the elements of messages: the same elements that
// the server writes (templates/room.html, "message").
//
// An item is what the log knows of a message: {seq, nonce, author, text, at (ms),
// state} with state pending, sent or failed; seq is 0 until it is sent.

import { clock, day, full, refusal, t } from './i18n.js';
import { hue, onlyEmoji, seal, segments } from './text.js';

const GROUP_GAP = 5 * 60_000; // ms, as on the server

const make = (tag, className, text) => {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};

/** A person's seal. */
export function makeSeal({ id, name }) {
  const e = make('span', `seal h${hue(id)}`, seal(name));
  e.setAttribute('aria-hidden', 'true');
  return e;
}

/** A name that keeps its writing direction to itself. */
export const makeName = (name) => make('bdi', '', name);

/** The item of an element that the server wrote. */
export function readItem(node) {
  const { seq, nonce, author, name, tag } = node.dataset;
  return {
    seq: Number(seq), nonce, author: { id: author, name, tag }, state: 'sent',
    text: node.querySelector('.text').textContent,
    at: Date.parse(node.querySelector('time').dateTime),
  };
}

/** An element for an item. */
export function makeMessage(item, own) {
  const node = make('li', own ? 'message own' : 'message');
  node.tabIndex = -1;
  node.dataset.author = item.author.id;
  const who = make('span', 'who');
  who.append(make('b', `name h${hue(item.author.id)}`), ' ', make('span', 'tag', item.author.tag));
  const text = make('div', 'text');
  text.dir = 'auto';
  for (const s of segments(item.text)) text.append(s.url ? makeLink(s.url) : s.text);
  const when = make('a', 'when');
  when.append(make('time'));
  node.append(makeSeal(item.author), who, text, when);
  setName(node, item.author);
  return node;
}

function makeLink(url) {
  const a = make('a', '', url);
  a.href = url;
  a.target = '_blank';
  a.rel = 'noopener noreferrer nofollow';
  return a;
}

/** Shows the name that an author has now. */
export function setName(node, author) {
  node.dataset.name = author.name;
  node.dataset.tag = author.tag;
  const name = node.querySelector('.who .name');
  name.title = `${author.name} · ${author.tag}`;
  name.replaceChildren(makeName(author.name));
  node.querySelector('.seal').textContent = seal(author.name);
}

/** Whether item begins a group after before: another author, a pause, another day. */
export function isHead(item, before) {
  return !before || before.author.id !== item.author.id || item.at - before.at > GROUP_GAP || day(before.at) !== day(item.at);
}

/** Brings an element up to date with its item. path is the room's path. */
export function paint(node, item, path) {
  const { dataset } = node;
  if (dataset.state !== item.state || dataset.seq !== String(item.seq || '')) {
    dataset.state = item.state;
    node.toggleAttribute('aria-busy', false);
    if (item.state === 'pending') node.setAttribute('aria-busy', 'true');
    if (item.nonce) dataset.nonce = item.nonce;
    if (item.seq) {
      dataset.seq = item.seq;
      node.id = `m${item.seq}`;
      node.querySelector('.when').href = path + item.seq;
    }
    paintMark(node, item);
  }
  node.querySelector('.text').classList.toggle('emoji', onlyEmoji(item.text));
  // One stop for Tab, the log; Enter on a message goes to it.
  node.querySelector('.when').tabIndex = -1;
  const time = node.querySelector('time');
  const iso = new Date(item.at).toISOString();
  if (time.dateTime !== iso || !time.title) {
    time.dateTime = iso;
    time.textContent = clock(item.at);
    time.title = full(item.at);
  }
}

function paintMark(node, item) {
  node.querySelector('.mark')?.remove();
  node.querySelector('.failure')?.remove();
  if (item.state === 'pending') {
    const mark = make('span', 'mark');
    mark.title = t('message.pending');
    node.querySelector('.when').append(mark);
  } else if (item.state === 'failed') {
    const row = make('div', 'failure');
    const retry = make('button', 'retry', t('message.retry'));
    const discard = make('button', 'discard', t('message.discard'));
    retry.type = discard.type = 'button';
    row.append(make('span', '', `${t('message.failed')} ${refusal(item)}`), ' ', retry, ' ', discard);
    node.append(row);
  }
}

/** The row that begins a day. */
export function makeDay(key) {
  const row = make('li', 'day');
  row.dataset.day = key;
  const time = make('time');
  time.dateTime = key;
  row.append(time);
  return row;
}
