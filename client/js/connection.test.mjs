import assert from 'node:assert/strict';
import { test } from 'node:test';
import { echo, eventSources, me, message, settle, start, welcome } from './fakes.mjs';

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

for (const ms of [321, 43_210]) {
  test(`a server that restarts has a time for each, here ${ms} ms, and nothing is added`, async () => {
    const w = start();
    w.client.connect();
    welcome(w).drop(1012, `restart retry_ms=${ms}`);
    assert.equal(w.client.state.retryAt - w.clock.now(), ms);
    await w.clock.pass(ms - 1);
    assert.equal(w.sockets.all.length, 1);
    await w.clock.pass(1);
    assert.equal(w.sockets.all.length, 2);
  });
}

for (const code of [1013, 4429]) {
  for (const random of [0, 0.1, 0.9]) {
    test(`the time that ${code} names is the same for all, so a random one is added that doubles (${random})`, async () => {
      const w = start({ random: () => random });
      w.client.connect();
      const added = [];
      for (let i = 0; i < 7; i++) {
        w.sockets.last.open();
        w.sockets.last.drop(code, 'the room cannot be read, retry_ms=2000');
        const wait = w.client.state.retryAt - w.clock.now();
        added.push(wait - 2000);
        await w.clock.pass(wait);
        assert.equal(w.sockets.all.length, i + 2);
      }
      assert.deepEqual(added, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].map((full) => random * full));
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

test('a room joined between hello and welcome is asked for, once', async () => {
  const w = start();
  w.client.connect();
  const socket = w.sockets.last;
  socket.open();
  const second = w.client.join('second', { after: 0 });
  second.post('a');
  w.client.addEventListener('welcome', () => w.client.join('third'));
  socket.say({ type: 'welcome', ref: 'hello', you: me, epoch: 'e1', limits: {} });
  assert.deepEqual(socket.of('join').map((j) => j.room), ['lobby', 'second', 'third']);
  socket.say({ type: 'joined', ref: socket.of('join')[1].ref, room: 'second', after: 0, last: 0, first: true });
  assert.deepEqual([second.joined, socket.of('post').length], [true, 1]);
});

test('a room that is refused for good ends alone, says why, and keeps its outbox for the next time', async () => {
  const w = start();
  w.client.connect();
  const socket = welcome(w);
  const heard = [];
  const join = () => {
    const room = w.client.join('second', { after: 0 });
    room.addEventListener('refused', (e) => heard.push(`${e.detail.code}: ${e.detail.message}`));
    return room;
  };
  const second = join();
  const { nonce } = second.post('a');
  socket.say({ type: 'error', ref: socket.of('join').at(-1).ref, room: 'second', code: 'too_many', message: 'Leave one.' });
  assert.deepEqual([heard, second.refused.code, second.joined], [['too_many: Leave one.'], 'too_many', false]);
  assert.equal(w.client.state.name, 'open');
  w.room.post('b');
  echo(socket, 1);
  assert.equal(w.log.at(-1), 1);
  // It is not asked for by itself, but may be again.
  socket.drop();
  await w.clock.pass(1000);
  const next = welcome(w);
  assert.deepEqual(next.of('join').map((j) => j.room), ['lobby']);
  const again = join();
  assert.notEqual(again, second);
  second.leave();
  assert.deepEqual([w.client.join('second'), next.of('leave')], [again, []], 'what has ended has nothing to leave');
  next.say({ type: 'joined', ref: next.of('join').at(-1).ref, room: 'second', after: 0, last: 0, first: true });
  assert.equal(next.of('post')[0].nonce, nonce);
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

test('where no socket gets through, a stream and POST do the same', async () => {
  const EventSource = eventSources();
  const streams = EventSource.all;
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

/** A client on a stream whose pages come when the test answers. */
async function streaming() {
  const EventSource = eventSources();
  const pages = [];
  const fetch = () => new Promise((resolve) => {
    pages.push((body, status = 200) => {
      resolve({ ok: status === 200, status, headers: new Headers(), json: async () => body });
      return settle();
    });
  });
  const w = start({ after: null, EventSource, fetch });
  w.client.connect();
  w.sockets.last.drop();
  await w.clock.pass(600);
  w.sockets.last.drop();
  await settle();
  assert.deepEqual([w.client.state.transport, pages.length], ['stream', 1]);
  return { ...w, pages, streams: EventSource.all, open: () => EventSource.all.filter((s) => !s.closed).length };
}

const page = { messages: [message(1)], first: true, last: true };

test('a line that ends while its first page is on the way opens no stream', async () => {
  const w = await streaming();
  w.client.close();
  await w.pages[0](page);
  assert.deepEqual(w.streams, []);
});

test('a room that is left while its first page is on the way opens no stream, and one joined again opens one', async () => {
  const w = await streaming();
  w.client.join('second');
  await w.pages[0](page);
  w.streams[0].onopen();
  w.client.join('second').leave();
  const second = w.client.join('second');
  await settle();
  assert.equal(w.pages.length, 3);
  await w.pages[1](page);
  assert.equal(w.open(), 1);
  await w.pages[2](page);
  assert.equal(w.open(), 2);
  w.streams.at(-1).onopen();
  assert.deepEqual([second.position, second.joined], [1, true]);
  second.leave();
  assert.equal(w.open(), 1);
});

test('a server that refuses the only room of a stream is there all the same', async () => {
  const w = await streaming();
  await w.pages[0]({ code: 'bad_room', message: 'no' }, 400);
  assert.deepEqual([w.room.refused.code, w.client.state.name], ['bad_room', 'open']);
  const sockets = w.sockets.all.length;
  await w.clock.pass(50_000);
  assert.deepEqual([w.client.state.name, w.sockets.all.length], ['open', sockets]);
});
