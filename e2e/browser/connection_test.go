package browser_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

const (
	// noStream is a browser that knows sockets only.
	noStream = `delete window.EventSource`

	state  = `document.querySelector('#connection').dataset.state`
	banner = `document.querySelector('#banner')`
)

func TestHConnection(t *testing.T) {
	s := server.Start(t, "--limits", "off")

	t.Run("76: offline there is a banner, one can go on writing, and what is sent waits", func(t *testing.T) { offlineQueues(t, s) })
	t.Run("77: without a network event the page counts down and offers Retry now; \"online\" tries at once", func(t *testing.T) { retriesCountDown(t, s) })
	t.Run("78: after a sleep in which 600 messages were missed there is no hole", func(t *testing.T) { sleepLeavesNoHole(t, s) })
	t.Run("a short cut resumes without a hole or a double", func(t *testing.T) { cutsLeaveNoHole(t, s) })
	t.Run("81: where WebSockets are blocked, the page falls back to a stream and posts, and says so", func(t *testing.T) { streamInstead(t, s) })
}

func offlineQueues(t *testing.T, s *server.Server) {
	k := connect(t, s)
	a := enter(t, k.URL(), "h76", chrome.Look{})
	a.Offline(true)
	k.Down()
	a.UntilWithin(3*time.Second, `!`+banner+`.hidden && `+state+` === 'offline'`)
	if chrome.Eval[bool](a, box+`.disabled || document.querySelector('#chat-message-submit').disabled`) {
		t.Error("offline one cannot write")
	}
	for i := range 3 {
		say(a, fmt.Sprint("written offline ", i+1))
	}
	a.Until(`document.querySelectorAll('.message[data-state=pending]').length === 3`)
	k.Up()
	a.Offline(false)
	shows(a, "written offline 3")
	a.Until(banner + `.hidden`)
	rows := stored(t, s, "h76")
	if len(rows) != 3 || rows[0].Text != "written offline 1" || rows[2].Text != "written offline 3" {
		t.Errorf("stored %+v", rows)
	}
}

func retriesCountDown(t *testing.T, s *server.Server) {
	k := connect(t, s)
	a := enter(t, k.URL(), "h77", chrome.Look{Before: noStream + `; Math.random = () => 0.9`})
	const counting = state + ` === 'waiting' && /\b[2-9] s/.test(` + banner + `.textContent)`
	k.Down()
	a.Until(counting)
	k.Up()
	a.Click("#retry-now")
	connected(a)
	k.Down()
	a.Until(counting)
	k.Up()
	a.Do(`dispatchEvent(new Event('online'))`)
	a.UntilWithin(2*time.Second, state+` === 'open'`)
}

func sleepLeavesNoHole(t *testing.T, s *server.Server) {
	k := connect(t, s)
	fill(stranger(t, s), "h78", "before", 30)
	a := enter(t, k.URL(), "h78", chrome.Look{})
	k.Down()
	a.Until(state + ` !== 'open'`)
	say(a, "said while asleep")
	flood(t, s, "h78", 600)
	k.Up()
	a.Until(`(() => { document.querySelector('#retry-now').click(); return ` + state + ` === 'open'; })()`)
	shows(a, "said while asleep")
	a.Do(collect)
	wheelUp(t, a)
	if n := chrome.Eval[int](a, `window.shown.size`); n != 631 {
		t.Errorf("%d of 631 messages were shown", n)
	}
}

func cutsLeaveNoHole(t *testing.T, s *server.Server) {
	k := connect(t, s)
	b := stranger(t, s)
	a := enter(t, k.URL(), "h78b", chrome.Look{})
	for i := range 5 {
		k.CutSockets()
		b.says("h78b", fmt.Sprint("one ", i))
		say(a, fmt.Sprint("two ", i))
		b.says("h78b", fmt.Sprint("three ", i))
		a.Until(`(() => { document.querySelector('#retry-now').click(); return `+messages+`.length === %s; })()`, 3*(i+1))
	}
	a.Until(`document.querySelectorAll('.message[data-state=sent]').length === 15`)
	dense(t, a)
	if rows := stored(t, s, "h78b"); len(rows) != 15 {
		t.Errorf("stored %d rows", len(rows))
	}
}

func streamInstead(t *testing.T, s *server.Server) {
	k := connect(t, s)
	k.Block()
	a := visit(t, chrome.Look{})
	a.Open(roomURL(k.URL(), "h81"))
	a.Until(state + ` === 'open' && document.querySelector('#connection').dataset.transport === 'stream'`)
	a.Until(`!` + banner + `.hidden && ` + banner + `.textContent.includes('WebSocket')`)
	say(a, "without a socket")
	shows(a, "without a socket")
	b := stranger(t, s)
	b.says("h81", "heard on the stream")
	shows(a, "heard on the stream")
	dense(t, a)
	if rows := stored(t, s, "h81"); len(rows) != 2 {
		t.Errorf("stored %d rows", len(rows))
	}
}

func TestHTheServerRestarts(t *testing.T) {
	t.Parallel()
	s := server.Start(t, "--limits", "off")
	k := connect(t, s)
	a := enter(t, k.URL(), "h79", chrome.Look{})
	t.Run("79: after a restart the sockets come back spread over time, and nobody loses text", func(t *testing.T) {
		const clients = 60
		a.Do(`(async () => {
			const { Teahouse } = await import(document.querySelector('link[href$="/teahouse.js"]').href);
			window.others = Array.from({ length: %s }, (_, i) => {
				const client = new Teahouse({ storage: { length: 0, key: () => null, getItem: () => null, setItem() {}, removeItem() {} } });
				const room = client.join('h79');
				const heard = [];
				room.addEventListener('message', (e) => heard.push(e.detail.message.seq));
				client.connect();
				return { client, room, heard };
			});
		})()`, clients)
		a.Until(`window.others.every((o) => o.client.state.name === 'open' && o.room.joined)`)
		before := len(k.Dials())
		a.Type("half a thought")
		a.Do(`window.others.forEach((o, i) => o.room.post('before ' + i))`)
		s.Stop()
		a.Until(`window.others.every((o) => o.client.state.name !== 'open')`)
		a.Do(`window.others.forEach((o, i) => o.room.post('while away ' + i))`)
		s.Restart()
		a.UntilWithin(60*time.Second, `window.others.every((o) => o.room.outbox.length === 0 && o.heard.length === %s)`, 2*clients)
		connected(a)
		if got := chrome.Eval[string](a, box+`.value`); got != "half a thought" {
			t.Errorf("the draft is %q", got)
		}
		if rows := stored(t, s, "h79"); len(rows) != 2*clients {
			t.Errorf("stored %d rows, want %d", len(rows), 2*clients)
		}
		dials := k.Dials()[before:]
		spread := slices.MaxFunc(dials, time.Time.Compare).Sub(slices.MinFunc(dials, time.Time.Compare))
		t.Logf("%d sockets were asked for within %v", len(dials), spread)
		if spread < 3*time.Second {
			t.Errorf("%d sockets came back within %v", len(dials), spread)
		}
		if wrong := chrome.Eval[int](a, `window.others.filter((o) => o.heard.some((seq, i) => seq !== i + 1)).length`); wrong > 0 {
			t.Errorf("%d clients have a hole, a double or another order", wrong)
		}
	})
}
