import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Storage, echo, me, message, other, settle, start, welcome } from './fakes.mjs';

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

test('a hole before what came while another was filled is asked for too', async () => {
  const w = start({ after: 10 });
  w.client.connect();
  const socket = welcome(w);
  socket.say(message(12));
  await w.clock.pass(250);
  socket.say(message(15)); // after the page was read
  socket.say({ type: 'history', ref: socket.of('history')[0].ref, room: 'lobby', messages: [message(11), message(12)], first: false, last: true });
  await w.clock.pass(250);
  assert.deepEqual(w.log, [11, 12]);
  const [, asked] = socket.of('history');
  assert.equal(asked.after, 12);
  socket.say({ type: 'history', ref: asked.ref, room: 'lobby', messages: [message(13), message(14), message(15)], first: false, last: true });
  await settle();
  assert.deepEqual(w.log, [11, 12, 13, 14, 15]);
  await w.clock.pass(5000);
  assert.equal(socket.of('history').length, 2);
});

test('what a page leaves out is not there, and a page without what is missing is asked for once a second', async () => {
  const w = start({ after: 10 });
  w.client.connect();
  const socket = welcome(w);
  socket.say(message(13));
  await w.clock.pass(250);
  const page = (messages) => socket.say({ type: 'history', ref: socket.of('history').at(-1).ref, room: 'lobby', messages, first: false, last: true });
  page([]);
  await w.clock.pass(900);
  assert.equal(socket.of('history').length, 1);
  await w.clock.pass(200);
  assert.equal(socket.of('history').length, 2);
  page([message(12), message(13)]);
  await w.clock.pass(5000);
  assert.deepEqual([w.log, socket.of('history').length], [[12, 13], 2]);
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

/** Two visits to a room that the server calls "lobby", asked for by another name. */
function visits() {
  const storage = new Storage();
  return { storage, first: start({ storage, name: 'lobby ' }), reload: () => start({ storage, name: 'lobby ' }) };
}

test('what was written under the name the server uses is sent after a reload, before what is newer', async () => {
  const { storage, first, reload } = visits();
  first.client.connect();
  welcome(first).drop();
  first.room.post('written offline');
  first.client.close();
  assert.match(storage.keys.join(), /^teahouse\.outbox\/lobby\/\w+$/);
  const second = reload();
  await second.clock.pass(1000);
  second.room.post('newer');
  second.client.connect();
  const socket = welcome(second);
  assert.deepEqual(second.log, ['newer pending', 'written offline pending']);
  echo(socket, 1);
  echo(socket, 2);
  assert.deepEqual(socket.of('post').map((p) => p.text), ['written offline', 'newer']);
  assert.deepEqual(storage.keys, []);
});

test('what was written before the server named the room is kept under that name, and forgotten when it is stored', () => {
  const { storage, first, reload } = visits();
  const { nonce } = first.room.post('early');
  assert.deepEqual(storage.keys, [`teahouse.outbox/lobby /${nonce}`]);
  first.client.connect();
  welcome(first);
  assert.deepEqual(storage.keys, [`teahouse.outbox/lobby/${nonce}`]);
  first.client.close();
  const second = reload();
  assert.deepEqual(second.room.outbox, []);
  second.client.connect();
  const socket = welcome(second);
  assert.deepEqual(second.room.outbox.map((e) => e.nonce), [nonce]);
  echo(socket, 1);
  assert.deepEqual([second.room.outbox, storage.keys], [[], []]);
});

test('an entry for which the storage has no second place stays where it is until it is stored', () => {
  const { storage, first } = visits();
  const entry = first.room.post('early');
  storage.full = true;
  first.client.connect();
  const socket = welcome(first);
  assert.deepEqual([storage.keys, entry.kept], [[`teahouse.outbox/lobby /${entry.nonce}`], true]);
  echo(socket, 1);
  assert.deepEqual(storage.keys, []);
});

test('what is kept for a room whose name begins with this one and a slash is not said here', () => {
  const storage = new Storage();
  start({ storage, name: 'lobby/b' }).room.post('elsewhere');
  assert.deepEqual(start({ storage }).room.outbox, []);
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
