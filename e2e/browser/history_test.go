package browser_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/browser/link"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// saidAt gives messages of a room other times, while the server is away.
func saidAt(t *testing.T, s *server.Server, room string, at func(seq int) time.Time) {
	t.Helper()
	n := len(stored(t, s, room))
	s.Stop()
	files, err := filepath.Glob(filepath.Join(s.Data, "*.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("databases in the data folder: %v, %v", files, err)
	}
	db, err := sql.Open("sqlite", files[0])
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for seq := 1; seq <= n; seq++ {
		const change = `UPDATE chunks SET messages = json_set(messages, '$[' || ($2 - (id & 0xFFFFFFFFF)) || '][1]', $1)
			WHERE id = (SELECT max(c.id) FROM chunks c JOIN rooms r ON c.id BETWEEN r.id << 36 AND r.id << 36 | $2 WHERE r.slug = $3)`
		if _, err := tx.Exec(change, at(seq).UnixMilli(), seq, room); err != nil {
			t.Fatal(err)
		}
	}
	const newest = `UPDATE rooms SET last_at = $1 WHERE slug = $2`
	if _, err := tx.Exec(newest, at(n).UnixMilli(), room); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s.Restart()
}

// atBeginning says that the log shows the beginning of the room.
const atBeginning = `document.querySelector('#older').dataset.state === 'first' && document.querySelector('#messages .message')?.dataset.seq === '1'`

// collect makes the page remember every message that it has shown.
const collect = `(() => {
	window.shown = new Set();
	const look = () => document.querySelectorAll('#messages .message').forEach((n) => window.shown.add(Number(n.dataset.seq)));
	new MutationObserver(look).observe(document.querySelector('#messages'), { childList: true });
	look();
})()`

// wheelUp turns the wheel until the beginning of the room is there.
func wheelUp(t *testing.T, a *chrome.Tab) {
	t.Helper()
	for end := time.Now().Add(chrome.Patience); time.Now().Before(end); {
		a.Wheel(-3000)
		a.Do(`new Promise((done) => requestAnimationFrame(done))`)
		dense(t, a)
		if chrome.Eval[bool](a, atBeginning+` && `+chatLog+`.scrollTop === 0`) {
			return
		}
	}
	t.Fatalf("the beginning never came; first is %v", chrome.Eval[place](a, firstVisible))
}

func TestCTimelineOfThePast(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	flood(t, s, "long", 1000)

	t.Run("29: older messages come in above without moving what is read, also with overflow-anchor: none", func(t *testing.T) { olderKeepsAnchor(t, s) })
	t.Run("31, 36 and 39: a fast wheel to the top shows all 1,000 messages once, every day once, and the beginning", func(t *testing.T) { wheelToTheTop(t, s) })
	t.Run("33: a permalink is centred and flashes once, both directions load, Back returns to the place", func(t *testing.T) { permalink(t, s) })
	t.Run("40: loading shows a skeleton and asks once; a failure gives a row with Retry", func(t *testing.T) { loadingAndFailing(t, s) })
}

func olderKeepsAnchor(t *testing.T, s *server.Server) {
	k := connect(t, s)
	a := enter(t, k.URL(), "long", chrome.Look{})
	a.Do(chatLog + `.style.overflowAnchor = 'none'`)
	for range 3 {
		k.Hold()
		first := chrome.Eval[int](a, `Number(document.querySelector('#messages .message').dataset.seq)`)
		a.Do(chatLog + `.scrollTop = 0`)
		a.Until(`document.querySelector('#older').dataset.state === 'loading'`)
		was := chrome.Eval[place](a, firstVisible)
		k.Release()
		a.Until(`Number(document.querySelector('#messages .message').dataset.seq) < %s`, first)
		stays(t, a, was, "older messages")
		dense(t, a)
	}
}

func wheelToTheTop(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "long", chrome.Look{})
	a.Do(collect)
	wheelUp(t, a)
	if n := chrome.Eval[int](a, `window.shown.size`); n != 1000 {
		t.Errorf("%d of 1000 messages were shown", n)
	}
	if !chrome.Eval[bool](a, `Boolean(document.querySelector('#older .beginning')) && !document.querySelector('#older .skeleton')`) {
		t.Error("no beginning, or a skeleton beside it")
	}
}

func permalink(t *testing.T, s *server.Server) {
	a := visit(t, chrome.Look{})
	a.Open(roomURL(s.URL, "long") + "300")
	connected(a)
	const offCentre = `(() => {
		const log = document.querySelector('#chat-log').getBoundingClientRect(), node = document.querySelector('[data-seq="300"]').getBoundingClientRect();
		return Math.abs((node.top + node.bottom) / 2 - (log.top + log.bottom) / 2);
	})()`
	a.Until(offCentre + ` < 5`)
	if n := chrome.Eval[int](a, `document.querySelectorAll('.message.flash').length`); n != 1 {
		t.Errorf("%d messages flash", n)
	}
	a.Do(collect)
	wheelUp(t, a)
	a.Do(`(() => { window.flashes = 0; addEventListener('animationstart', (e) => { window.flashes += e.animationName === 'flash'; }, { capture: true }); })()`)
	a.Until(`(() => { const log = ` + chatLog + `; log.scrollTop += 900; return window.shown.size === 1000 && ` + fromBelow + ` <= 1; })()`)
	if n := chrome.Eval[int](a, `window.flashes`); n != 0 {
		t.Errorf("the message flashed %d times more when it came by again", n)
	}

	b := enter(t, s.URL, "long", chrome.Look{})
	scrollUp(b)
	was := chrome.Eval[place](b, firstVisible)
	b.Do(`document.querySelector('[data-seq="' + %s + '"] .when').click()`, was.Seq+3)
	b.Until(`location.pathname.endsWith('/' + %s) && document.querySelector('.message.flash')`, was.Seq+3)
	b.Back()
	b.Until(`!location.pathname.endsWith('/' + %s) && Math.abs(document.querySelector('[data-seq="' + %s + '"]').getBoundingClientRect().top - %s) <= 1`,
		was.Seq+3, was.Seq, was.Y)
}

func loadingAndFailing(t *testing.T, s *server.Server) {
	k := connect(t, s)
	a := enter(t, k.URL(), "long", chrome.Look{})
	a.Do(`(() => {
		window.asked = 0;
		const send = WebSocket.prototype.send;
		WebSocket.prototype.send = function (data) { window.asked += data.includes('"history"'); return send.call(this, data); };
	})()`)
	k.Hold()
	a.Do(chatLog + `.scrollTop = 0`)
	a.Until(`document.querySelector('#older').dataset.state === 'loading' && document.querySelector('#older .skeleton') && ` + chatLog + `.getAttribute('aria-busy') === 'true'`)
	for range 4 {
		a.Wheel(200)
		a.Wheel(-900)
	}
	if n := chrome.Eval[int](a, `window.asked`); n != 1 {
		t.Errorf("%d requests are under way", n)
	}
	k.Release()
	const oldest = `Number(document.querySelector('#messages .message').dataset.seq)`
	a.Until(oldest + ` < 900`)
	k.Refuse(link.Refusal{Type: "history", Code: "busy", Message: "Later."})
	a.Until(`(() => { ` + chatLog + `.scrollTop = 0; return document.querySelector('.retry-older') && !document.querySelector('#older .skeleton'); })()`)
	before := chrome.Eval[int](a, oldest)
	a.Click(".retry-older")
	a.Until(oldest+` < %s`, before)
	dense(t, a)
}

func TestCTimelineOfAVeryLongPast(t *testing.T) {
	t.Parallel()
	s := server.Start(t, "--limits", "off")
	flood(t, s, "longer", 5000)
	a := enter(t, s.URL, "longer", chrome.Look{})
	a.Do(collect)
	const walk = `(() => { const log = document.querySelector('#chat-log'); log.scrollTop %s; return %s; })()`
	t.Run("32: after walking 5,000 messages at most 400 are in the document, and the way down brings them back", func(t *testing.T) {
		a.Do(`(() => { window.most = 0; new MutationObserver(() => { window.most = Math.max(window.most, ` + messages + `.length); }).observe(document.querySelector('#messages'), { childList: true }); })()`)
		a.Until(fmt.Sprintf(walk, "= 0", atBeginning))
		dense(t, a)
		if n := chrome.Eval[int](a, `window.shown.size`); n != 5000 {
			t.Errorf("%d of 5000 messages were shown on the way up", n)
		}
		a.Do(`window.shown.clear()`)
		a.Until(fmt.Sprintf(walk, "+= 5000", `document.querySelector('#messages .message:last-child').dataset.seq === '5000' && `+fromBelow+` <= 1`))
		dense(t, a)
		if n := chrome.Eval[int](a, `window.shown.size`); n < 4600 {
			t.Errorf("%d of 5000 messages came back on the way down", n)
		}
		if n := chrome.Eval[int](a, `window.most`); n > 400 {
			t.Errorf("%d messages were in the document", n)
		}
		say(a, "at the end")
		shows(a, "at the end")
	})
}

func TestCTimelineOfDays(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	fill(stranger(t, s), "days", "day", 300)
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	saidAt(t, s, "days", func(seq int) time.Time {
		return noon.AddDate(0, 0, (seq-300)/20-1).Add(time.Duration(seq) * time.Second)
	})

	t.Run("36: days stand where they begin, in the visitor's zone, each once after older pages", func(t *testing.T) {
		for _, zone := range []string{"Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles"} {
			a := enter(t, s.URL, "days", chrome.Look{Zone: zone})
			wheelUp(t, a)
			dense(t, a)
			if n := chrome.Eval[int](a, `document.querySelectorAll('#messages .day').length`); n != 15 {
				t.Errorf("%s: %d days, want 15", zone, n)
			}
			if wrong := chrome.Eval[string](a, `[...document.querySelectorAll('#messages .day')].filter((row) => {
				const at = new Date(row.nextElementSibling.querySelector('time').dateTime);
				const local = at.getFullYear() + '-' + String(at.getMonth() + 1).padStart(2, '0') + '-' + String(at.getDate()).padStart(2, '0');
				return local !== row.dataset.day;
			}).map((row) => row.dataset.day).join()`); wrong != "" {
				t.Errorf("%s: these days stand elsewhere: %s", zone, wrong)
			}
		}
	})

	t.Run("37: one author within five minutes and a day is one group", func(t *testing.T) {
		one, two := stranger(t, s), stranger(t, s)
		for i, g := range []*guest{one, one, one, one, two, one} {
			g.says("groups", fmt.Sprint("line ", i+1))
		}
		minutes := []int{0, 0, 4, 10, 11, 12} // by seq
		saidAt(t, s, "groups", func(seq int) time.Time {
			return noon.AddDate(0, 0, -3).Add(time.Duration(minutes[seq-1]) * time.Minute)
		})
		a := enter(t, s.URL, "groups", chrome.Look{})
		heads := chrome.Eval[[]string](a, `[...`+messages+`].filter((n) => n.classList.contains('head')).map((n) => n.dataset.seq)`)
		if got := strings.Join(heads, " "); got != "1 4 5 6" {
			t.Errorf("groups begin at %s, want 1 4 5 6", got)
		}
		if shown := chrome.Eval[[]string](a, `[...`+messages+`].filter((n) => n.querySelector('.seal').checkVisibility()).map((n) => n.dataset.seq)`); strings.Join(shown, " ") != "1 4 5 6" {
			t.Errorf("seals are shown at %v", shown)
		}
	})
}
