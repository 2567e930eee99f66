import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Clock, Storage, me, message, other, settle, sockets } from './fakes.mjs';
import { Teahouse } from './teahouse.js';

/** A client in the room "lobby" with everything around it under control. */
function start({ after = 0, storage = new Storage(), ...options } = {}) {
  const clock = new Clock();
  const events = new EventTarget();
  const WebSocket = sockets();
  const client = new Teahouse({
    url: 'http://chat.test/', WebSocket, EventSource: null, events, clock, storage: storage.tab?.(events) ?? storage, random: () => 0.5, you: me, epoch: 'e1', ...options,
  });
  const room = client.join('lobby', { after });
  const log = [];
  room.addEventListener('message', (e) => log.push(e.detail.message.seq));
  room.addEventListener('reset', () => log.push('reset'));
  room.addEventListener('entry', (e) => log.push(`${e.detail.text} ${e.detail.state}`));
  return { client, room, clock, events, sockets: WebSocket, storage, log };
}

/** Answers the newest socket's hello and join. */
function welcome({ sockets: s }, joined = {}) {
  const socket = s.last;
  socket.open();
  const [hello] = socket.of('hello');
  const [join] = socket.of('join');
  socket.say({ type: 'welcome', ref: hello.ref, you: me, epoch: 'e1', server: 'teahouse/1', limits: {} });
  socket.say({ type: 'joined', ref: join.ref, room: 'lobby', after: join.after ?? 0, last: join.after ?? 0, first: true, here: { count: 1, people: [me] }, ...joined });
  return socket;
}

const echo = (socket, seq, post = socket.of('post').at(-1)) => socket.say(message(seq, { author: me, text: post.text, nonce: post.nonce }));

test('hello and join go out together, with the position', () => {
  const w = start({ after: 41 });
  w.client.connect();
  assert.equal(w.sockets.last.url, 'ws://chat.test/ws');
  assert.deepEqual(w.sockets.last.protocols, ['teahouse.v1']);
  const socket = welcome(w);
  assert.equal(socket.of('hello')[0].epoch, 'e1');
  assert.equal(socket.of('join')[0].after, 41);
  assert.equal(w.client.state.name, 'open');
  assert.equal(w.room.count, 1);
});

test('messages come once each and in order, however they arrive', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  for (const seq of [1, 3, 2, 2, 1, 4]) socket.say(message(seq));
  assert.deepEqual(w.log, [1, 2, 3, 4]);
  await w.clock.pass(1000);
  assert.equal(socket.of('history').length, 0);
});

test('a hole is waited for, then asked for', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  socket.say(message(1));
  socket.say(message(4));
  await w.clock.pass(150);
  assert.equal(socket.of('history').length, 0);
  await w.clock.pass(100);
  const [asked] = socket.of('history');
  assert.equal(asked.after, 1);
  socket.say({ type: 'history', ref: asked.ref, room: 'lobby', messages: [message(2), message(3), message(4)], first: false, last: true });
  await settle();
  assert.deepEqual(w.log, [1, 2, 3, 4]);
});

test('a hole whose page does not come is asked for again', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  socket.say(message(2));
  await w.clock.pass(250);
  const [asked] = socket.of('history');
  socket.say({ type: 'error', ref: asked.ref, code: 'busy', message: 'later' });
  await w.clock.pass(1100);
  assert.equal(socket.of('history').length, 2);
});

test('a reset starts over from the position given', () => {
  const w = start({ after: 5 });
  w.client.connect();
  const socket = welcome(w, { after: 950, last: 1000, reset: true, first: false });
  socket.say({ type: 'messages', room: 'lobby', messages: [message(951), message(952)] });
  assert.deepEqual(w.log, ['reset', 951, 952]);
});

test('posts go out one at a time in the order they were written', () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  w.room.post('a');
  w.room.post('b');
  assert.deepEqual(socket.of('post').map((p) => p.text), ['a']);
  echo(socket, 1);
  assert.deepEqual(socket.of('post').map((p) => p.text), ['a', 'b']);
  echo(socket, 2);
  assert.deepEqual(w.log, ['a pending', 'b pending', 'a sent', 1, 'b sent', 2]);
  assert.equal(w.storage.length, 0);
});

test('what was not confirmed is sent again with the same nonce, and an ack settles it', async () => {
  const w = start();
  w.client.connect();
  let socket = welcome(w);
  const { nonce } = w.room.post('a');
  socket.drop();
  await w.clock.pass(1000);
  socket = welcome(w);
  const [again] = socket.of('post');
  assert.equal(again.nonce, nonce);
  socket.say({ type: 'ack', room: 'lobby', nonce, seq: 1, at: '2026-01-01T00:00:00.000Z' });
  assert.deepEqual(w.room.outbox, []);
  assert.equal(w.log.at(-1), 'a sent');
});

test('the outbox survives a reload', () => {
  const storage = new Storage();
  const first = start({ storage });
  const { nonce } = first.room.post('written offline');
  const second = start({ storage });
  assert.equal(second.room.outbox[0].text, 'written offline');
  second.client.connect();
  assert.equal(welcome(second).of('post')[0].nonce, nonce);
});

test('another tab shows an entry, leaves it to its owner, and takes it over when the owner is gone', async () => {
  const storage = new Storage();
  const [one, two] = [start({ storage }), start({ storage })];
  one.client.connect(); // in vain
  two.client.connect();
  const socket = welcome(two);
  const { nonce } = one.room.post('a');
  assert.deepEqual(two.log, ['a pending']);
  two.room.post('b');
  assert.deepEqual(socket.of('post').map((p) => p.text), ['b']);
  echo(socket, 1);
  await two.clock.pass(16_000);
  assert.equal(socket.of('post')[1]?.nonce, nonce);
  echo(socket, 2);
  assert.equal(one.room.outbox.length, 0, 'confirmed in the other tab');
  assert.equal(storage.length, 0);
});

test('without room in the storage the outbox lives in memory', () => {
  const storage = new Storage();
  storage.full = true;
  const w = start({ storage });
  w.client.connect();
  const socket = welcome(w);
  assert.equal(w.room.post('a').kept, false);
  echo(socket, 1);
  assert.equal(w.log.at(-1), 1);
});

test('a post over the rate waits and goes out before those behind it', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  const { nonce } = w.room.post('a');
  w.room.post('b');
  socket.say({ type: 'error', code: 'rate_limited', message: 'slow', room: 'lobby', nonce, retry_ms: 1000 });
  assert.equal(socket.of('post').length, 1);
  await w.clock.pass(1200);
  assert.deepEqual(socket.of('post').map((p) => p.text), ['a', 'a']);
});

test('a store that stays away fails the entry, which Retry sends once however often it is asked', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  const { nonce } = w.room.post('a');
  for (let i = 0; i < 4; i++) {
    socket.say({ type: 'error', code: 'unavailable', message: 'broken', room: 'lobby', nonce, retry_ms: 100 });
    await w.clock.pass(200);
  }
  assert.equal(w.room.outbox[0].state, 'failed');
  const before = socket.of('post').length;
  for (let i = 0; i < 5; i++) w.room.retry(nonce);
  assert.equal(socket.of('post').length, before + 1);
  assert.equal(socket.of('post').at(-1).nonce, nonce);
});

test('a refusal fails the entry at once and does not hold up the next', () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  const { nonce } = w.room.post('a');
  w.room.post('b');
  socket.say({ type: 'error', code: 'too_long', message: 'too long', room: 'lobby', nonce });
  assert.equal(w.room.outbox[0].state, 'failed');
  assert.equal(socket.of('post').at(-1).text, 'b');
  w.room.discard(nonce);
  assert.deepEqual(w.room.outbox.map((e) => e.text), ['b']);
});

for (const [what, text, limits] of [
  ['has too many characters', '茶'.repeat(11), { text: 10 }],
  ['makes too large a frame', '🍵'.repeat(100), { text: 200, frame: 400 }],
]) {
  test(`a post that ${what} fails before it is sent and does not hold up the next`, () => {
    const w = start();
    w.client.connect();
    const socket = welcome(w);
    w.client.limits = limits;
    w.room.post(text);
    w.room.post(`${'茶'.repeat(10)} \r\n`);
    assert.deepEqual(socket.of('post').map((p) => p.text), [`${'茶'.repeat(10)} \r\n`]);
    assert.deepEqual([w.room.outbox[0].state, w.room.outbox[0].code], ['failed', 'too_long']);
  });
}

test('a connection that ends over a frame too large fails the largest post in flight and sends the others again', async () => {
  const w = start();
  const side = w.client.join('side', { after: 0 });
  w.client.connect();
  const socket = welcome(w);
  socket.say({ type: 'joined', ref: socket.of('join')[1].ref, room: 'side', after: 0, last: 0, first: true });
  w.room.post('x'.repeat(1000));
  w.room.post('behind');
  side.post('small');
  socket.drop(1009);
  assert.deepEqual(w.room.outbox.map((e) => e.code), ['too_long', undefined]);
  await w.clock.pass(600);
  const next = welcome(w);
  next.say({ type: 'joined', ref: next.of('join')[1].ref, room: 'side', after: 0, last: 0, first: true });
  assert.deepEqual(next.of('post').map((p) => p.text), ['behind', 'small']);
});

test('a post without an answer is known since when it was sent', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  assert.equal(w.room.unanswered, 0);
  w.room.post('a');
  const at = w.clock.now();
  await w.clock.pass(3000);
  assert.equal(w.room.unanswered, at);
  echo(socket, 1);
  assert.equal(w.room.unanswered, 0);
});

test('typing is told every three seconds, and anew a second after a post', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  for (let i = 0; i < 31; i++) {
    w.room.typing();
    await w.clock.pass(100);
  }
  assert.equal(socket.of('typing').length, 2);
  w.room.post('a');
  for (let i = 0; i < 11; i++) {
    w.room.typing();
    await w.clock.pass(100);
  }
  assert.equal(socket.of('typing').length, 3);
});

test('who has just spoken is not typing, whatever comes late', async () => {
  const w = start();
  const typing = [];
  w.room.addEventListener('typing', (e) => typing.push(e.detail.people.map((p) => p.name).join()));
  w.client.connect();
  const socket = welcome(w);
  const third = { id: '0000000000003', name: 'Third', tag: 'cccc' };
  socket.say(message(1));
  socket.say({ type: 'typing', room: 'lobby', people: [other, third] });
  await w.clock.pass(1100);
  socket.say({ type: 'typing', room: 'lobby', people: [other] });
  assert.deepEqual(typing, ['Third', 'Other']);
});

test("another person's message with my nonce settles nothing", () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  const { nonce } = w.room.post('a');
  socket.say(message(1, { nonce, author: other }));
  assert.equal(w.room.outbox.length, 1);
});

test('waits double from one second to half a minute, each at random, and a steady connection forgets them', async () => {
  const w = start();
  const waits = [];
  w.client.addEventListener('state', () => w.client.state.name === 'waiting' && waits.push(w.client.state.retryAt - w.clock.now()));
  w.client.connect();
  for (let i = 0; i < 7; i++) {
    w.sockets.last.drop();
    await w.clock.pass(waits.at(-1));
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
  const socket = welcome(w);
  await w.clock.pass(6000);
  socket.drop();
  assert.equal(waits.at(-1), 500);
});

for (const code of [1012, 1013, 4429]) {
  for (const ms of [321, 43_210]) {
    test(`the server says with ${code} to come back after ${ms} ms`, async () => {
      const w = start();
      w.client.connect();
      welcome(w).drop(code, `the room cannot be read, retry_ms=${ms}`);
      assert.equal(w.client.state.retryAt - w.clock.now(), ms);
      await w.clock.pass(ms - 1);
      assert.equal(w.sockets.all.length, 1);
      await w.clock.pass(1);
      assert.equal(w.sockets.all.length, 2);
    });
  }
}

/** When five sockets were made after the first was closed with a code and a reason, and four did not open. */
async function tries(code, reason, options) {
  const w = start(options);
  w.client.connect();
  const socket = welcome(w);
  await w.clock.pass(6000);
  const gone = w.clock.now();
  socket.drop(code, reason);
  const made = [];
  while (made.length < 5) {
    const { length } = w.sockets.all;
    await w.clock.pass(10);
    if (w.sockets.all.length === length) continue;
    if (made.push(w.clock.now() - gone) < 5) w.sockets.last.drop(1006);
  }
  return { ...w, made };
}

test('a server that restarts beside others is left when it says, and the next one looked for quickly', async () => {
  const { made } = await tries(1012, 'restart retry_ms=200');
  assert.deepEqual(made, [200, 300, 500, 900, 1700]);
});

test('after the restart of a server that is alone the tries come as after any loss', async () => {
  const { made } = await tries(1012, 'restart retry_ms=4000');
  assert.deepEqual(made, [4000, 4500, 5500, 7500, 11500]);
});

test('who had a socket before takes a server that is away for no network without sockets', async () => {
  const streams = [];
  const EventSource = class extends EventTarget { constructor(url) { super(); streams.push(url); } close() {} };
  const { made } = await tries(1006, '', { EventSource });
  assert.deepEqual([made.length, streams], [5, []]);
});

test('a room that wants all asks for all, now and when it comes back', async () => {
  const w = start({ after: 7 });
  const all = w.client.join('archive', { after: 3, all: true });
  w.client.connect();
  const socket = welcome(w);
  const [lobby, archive] = socket.of('join');
  assert.deepEqual([lobby.all, archive.all, archive.after], [undefined, true, 3]);
  socket.say({ type: 'joined', ref: archive.ref, room: 'archive', after: 3, last: 900, first: false });
  for (let after = 3; after < 1003; after += 200) {
    socket.say({ type: 'messages', room: 'archive', messages: Array.from({ length: 200 }, (_, i) => message(after + 1 + i, { room: undefined })) });
  }
  assert.equal(all.position, 1003, 'also beyond what was the last one when it began');
  socket.drop(4408, 'too slow');
  await w.clock.pass(2000);
  welcome(w);
  const again = w.sockets.last.of('join')[1];
  assert.deepEqual([again.all, again.after], [true, 1003]);
});

test('a room joined that the server cannot go on with is joined again when it says so', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  socket.say(message(1));
  socket.say({ type: 'error', room: 'lobby', code: 'unavailable', message: 'the store', retry_ms: 2000 });
  w.room.post('a');
  socket.say({ type: 'error', room: 'lobby', code: 'unavailable', message: 'once more', retry_ms: 2000 });
  await w.clock.pass(1999);
  assert.equal(socket.of('join').length, 1);
  assert.equal(socket.of('post').length, 0);
  await w.clock.pass(1);
  const [, again, ...more] = socket.of('join');
  assert.equal(again.after, 1);
  assert.deepEqual(more, []);
  socket.say({ type: 'joined', ref: again.ref, room: 'lobby', after: 1, last: 2, first: false });
  socket.say({ type: 'messages', room: 'lobby', messages: [message(2)] });
  assert.deepEqual(w.log.filter(Number.isInteger), [1, 2]);
  assert.equal(socket.of('post').length, 1);
});

test('a room being joined that is refused without a reference is joined again, and on a new connection only once', async () => {
  const w = start();
  w.client.connect();
  let socket = w.sockets.last;
  socket.open();
  socket.say({ type: 'welcome', ref: 'hello', you: me, epoch: 'e1', limits: {} });
  socket.say({ type: 'error', room: 'lobby', code: 'busy', message: 'full' });
  await w.clock.pass(1100);
  assert.equal(socket.of('join').length, 2, 'without a time it is tried after a second');
  socket.say({ type: 'error', ref: socket.of('join')[1].ref, room: 'lobby', code: 'busy', message: 'full', retry_ms: 5000 });
  socket.drop();
  await w.clock.pass(1000);
  socket = welcome(w);
  await w.clock.pass(10_000);
  assert.equal(socket.of('join').length, 1);
});

for (const code of [4401, 4403, 4409]) {
  test(`${code} ends it`, async () => {
    const w = start();
    w.client.connect();
    welcome(w).drop(code, 'no');
    assert.equal(w.client.state.name, 'closed');
    assert.equal(w.client.state.code, code);
    await w.clock.pass(120_000);
    assert.equal(w.sockets.all.length, 1);
  });
}

test('4410 forgets the position and the epoch', async () => {
  const w = start({ after: 7 });
  w.client.connect();
  w.sockets.last.open();
  w.sockets.last.drop(4410);
  await w.clock.pass(600);
  w.sockets.last.open();
  assert.equal(w.sockets.last.of('hello')[0].epoch, undefined);
  assert.equal(w.sockets.last.of('join')[0].after, undefined);
});

test('4408 resumes where it stopped', async () => {
  const w = start();
  w.client.connect();
  let socket = welcome(w);
  socket.say(message(1));
  socket.drop(4408);
  await w.clock.pass(600);
  socket = welcome(w);
  assert.equal(socket.of('join')[0].after, 1);
  socket.say(message(2));
  assert.deepEqual(w.log, [1, 2]);
});

test('a position beyond the end of the room joins afresh', () => {
  const w = start({ after: 99 });
  w.client.connect();
  w.sockets.last.open();
  const [join] = w.sockets.last.of('join');
  w.sockets.last.say({ type: 'error', ref: join.ref, code: 'bad_seq', message: 'no' });
  assert.equal(w.sockets.last.of('join')[1].after, undefined);
});

test('silence is asked about, and without an answer ended', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  await w.clock.pass(20_500);
  assert.equal(socket.of('ping').length, 1);
  socket.say({ type: 'pong', ref: 'ping' });
  await w.clock.pass(15_000);
  assert.equal(w.sockets.all.length, 1);
  await w.clock.pass(20_000);
  assert.equal(w.sockets.all.length, 2, 'the second ping had no answer');
});

test('offline is told at once, and online connects at once', async () => {
  const w = start();
  w.client.connect();
  welcome(w);
  w.events.dispatchEvent(new Event('offline'));
  assert.equal(w.client.state.name, 'offline');
  w.room.post('written offline');
  w.events.dispatchEvent(new Event('online'));
  assert.equal(w.sockets.all.length, 2);
  assert.equal(welcome(w).of('post')[0].text, 'written offline');
});

test('requests are answered, refused, or end with the connection', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  const renamed = w.client.rename('New');
  socket.say({ type: 'renamed', ref: socket.of('rename')[0].ref, person: { ...me, name: 'New' } });
  assert.equal((await renamed).name, 'New');
  assert.equal(w.client.you.name, 'New');
  const refused = w.client.rename('admin');
  socket.say({ type: 'error', ref: socket.of('rename')[1].ref, code: 'bad_name', message: 'no' });
  await assert.rejects(refused, { code: 'bad_name' });
  const lost = w.room.history({ before: 1 });
  socket.drop();
  await assert.rejects(lost, { code: 'disconnected' });
});

test('every frame of the shared vectors is taken without harm', () => {
  const vectors = JSON.parse(readFileSync(new URL('../../wire/testdata/server.json', import.meta.url), 'utf8'));
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  for (const v of vectors) socket.say(v.frame);
  for (const odd of ['', 'null', '[]', '{"type":1}', '{"type":"message","room":"lobby"}', '{"type":"__proto__"}']) socket.say(odd);
  assert.ok(vectors.length > 10);
  assert.equal(w.client.state.name, 'open');
});

test('where no socket gets through, a stream and POST do the same', async () => {
  const streams = [];
  class EventSource extends EventTarget {
    constructor(url) { super(); this.url = url; streams.push(this); }
    close() { this.closed = true; }
    say(m, epoch = 'e1') { this.dispatchEvent(Object.assign(new Event('message'), { data: JSON.stringify(m), lastEventId: `${epoch}-${m.seq}` })); }
  }
  const posts = [];
  const fetch = async (url, init) => {
    posts.push({ url, body: JSON.parse(init.body) });
    return { ok: true, json: async () => ({ seq: 3, at: '2026-01-01T00:00:00.000Z' }) };
  };
  const w = start({ after: 2, EventSource, fetch });
  w.client.connect();
  w.sockets.last.drop();
  await w.clock.pass(600);
  w.sockets.last.drop();
  await settle();
  assert.equal(streams[0].url, 'http://chat.test/api/rooms/lobby/stream?after=2&epoch=e1');
  streams[0].onopen();
  assert.deepEqual([w.client.state.name, w.client.state.transport], ['open', 'stream']);
  const { nonce } = w.room.post('a');
  await settle();
  assert.deepEqual(posts, [{ url: 'http://chat.test/api/rooms/lobby/messages', body: { text: 'a', nonce } }]);
  streams[0].say(message(3, { author: me, nonce }));
  streams[0].say(message(4));
  assert.deepEqual(w.log, ['a pending', 'a sent', 3, 4]);
  // A foreign epoch starts the room over, and is the one that positions have from then on.
  streams[0].dispatchEvent(new Event('reset'));
  streams[0].say(message(2), 'e2');
  assert.deepEqual(w.log.slice(-2), ['reset', 2]);
  assert.equal(w.client.epoch, 'e2');
  // From time to time it looks whether a socket gets through by now.
  await w.clock.pass(60_100);
  w.sockets.last.open();
  assert.equal(streams[0].closed, true);
  assert.equal(w.client.state.transport, 'websocket');
  assert.deepEqual([w.sockets.last.of('join')[0].after, w.sockets.last.of('join')[0].epoch], [2, 'e2']);
});
