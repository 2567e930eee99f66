// Gives the frames of the shared vectors to the client of the page and returns
// what came of each; then makes the client send every kind of frame.
async (vectors) => {
  const { Teahouse } = await import(document.querySelector('link[href$="/teahouse.js"]').href);
  class Wire {
    static last;
    constructor() { this.readyState = 0; this.sent = []; Wire.last = this; }
    open() { this.readyState = 1; this.onopen(); }
    say(text) { this.onmessage({ data: text }); }
    send(text) { this.sent.push(text); }
    close() { this.readyState = 3; }
  }
  const you = { id: '0123456789abc', name: 'A', tag: 'k3f9' };
  const hello = JSON.stringify({ type: 'welcome', ref: 'hello', you, epoch: 'e', server: 's', limits: {} });
  const open = (room, after) => {
    const client = new Teahouse({ WebSocket: Wire, storage: null, events: new EventTarget() });
    const told = [];
    const log = client.join(room, { after });
    for (const type of ['reset', 'message', 'entry', 'here', 'typing']) log.addEventListener(type, (e) => told.push([type, e.detail]));
    for (const type of ['welcome', 'renamed']) client.addEventListener(type, (e) => told.push([type, e.detail]));
    client.connect();
    Wire.last.open();
    return { client, log, told, wire: Wire.last };
  };
  const ref = ({ wire }, type) => wire.sent.map((s) => JSON.parse(s)).findLast((f) => f.type === type)?.ref;

  const outcome = {};
  for (const { name, frame } of vectors) {
    const f = JSON.parse(frame);
    const seq = (f.messages?.[0] ?? f).seq ?? 1;
    const c = open(f.room ?? 'lobby', f.type === 'joined' ? null : seq - 1);
    let asked;
    if (f.type !== 'welcome') c.wire.say(hello);
    if (f.type !== 'welcome' && f.type !== 'joined') {
      c.wire.say(JSON.stringify({ type: 'joined', ref: ref(c, 'join'), room: f.room ?? 'lobby', after: seq - 1, last: seq, first: true, here: { count: 1, people: [you] } }));
    }
    if (f.type === 'history') asked = c.log.history({ before: 5 });
    if (f.type === 'renamed') asked = c.client.rename('B');
    if (f.type === 'ack' || f.type === 'error') f.nonce = c.log.post('text').nonce;
    f.ref = { joined: ref(c, 'join'), history: ref(c, 'history'), renamed: ref(c, 'rename') }[f.type] ?? f.ref;
    c.told.length = 0;
    c.wire.say(JSON.stringify(f));
    const told = c.told.map(([type, detail]) => `${type} ${JSON.stringify(type === 'message' ? detail.message.text : type === 'entry' ? detail.state : type === 'here' ? detail.count : detail)}`);
    outcome[name] = { state: c.client.state.name, you: c.client.you.name, told, answer: asked ? await Promise.race([asked, new Promise((r) => setTimeout(r, 1000, 'none'))]) : null };
    c.client.close();
  }

  const c = open('茶馆', null);
  c.wire.say(hello);
  c.wire.say(JSON.stringify({ type: 'joined', ref: ref(c, 'join'), room: '茶馆', after: 0, last: 0, first: true, here: { count: 1, people: [you] } }));
  c.log.typing(); // not after the post: whoever has just spoken is not typing
  c.log.post('hi <b> "quoted" 🍵\n');
  const ignored = () => {};
  for (const range of [{ before: 100, limit: 20 }, { after: 0 }, { around: 7 }]) c.log.history(range).catch(ignored);
  c.log.who('0123456789abc').catch(ignored);
  c.client.rename('白鹭').catch(ignored);
  c.client.wake();
  c.log.leave();
  const sent = [...c.wire.sent];
  c.client.close();
  return { outcome, sent };
}
