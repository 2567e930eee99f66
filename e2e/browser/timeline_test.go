package browser_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// chatLog is the element that scrolls.
const chatLog = `document.querySelector('#chat-log')`

// flood posts n messages from many guests at once.
func flood(t *testing.T, s *server.Server, room string, n int) {
	t.Helper()
	const guests = 16
	var wg sync.WaitGroup
	for i := range guests {
		g := stranger(t, s)
		wg.Go(func() {
			for m := i; m < n; m += guests {
				if code := g.try(room, fmt.Sprintf("said %d of %d", m+1, n)); code != 201 {
					t.Errorf("posting to %s: status %d", room, code)
					return
				}
			}
		})
	}
	wg.Wait()
}

// firstVisible is where the first wholly visible message is: its seq and its y.
const firstVisible = `(() => {
	const top = document.querySelector('#chat-log').getBoundingClientRect().top;
	const node = [...document.querySelectorAll('#messages .message')].find((n) => n.getBoundingClientRect().top >= top);
	return { Seq: Number(node.dataset.seq), Y: node.getBoundingClientRect().top };
})()`

// place is a message and where it is in the window.
type place struct {
	Seq int
	Y   float64
}

// placeOf is where a message is now.
func placeOf(tab *chrome.Tab, seq int) place {
	return chrome.Eval[place](tab, `({ Seq: %s, Y: document.querySelector('[data-seq="' + %s + '"]')?.getBoundingClientRect().top ?? -1e6 })`, seq, seq)
}

// stays fails the test unless the message of p is where it was, ±1 px.
func stays(t *testing.T, tab *chrome.Tab, p place, what string) {
	t.Helper()
	if now := placeOf(tab, p.Seq); now.Y < p.Y-1 || now.Y > p.Y+1 {
		t.Errorf("%s: message %d was at %v px and is at %v px", what, p.Seq, p.Y, now.Y)
	}
}

// dense fails the test unless the log shows every seq between its first and its
// last once, and every day once.
func dense(t *testing.T, tab *chrome.Tab) {
	t.Helper()
	if wrong := chrome.Eval[string](tab, `(() => {
		const seqs = [...document.querySelectorAll('#messages .message')].map((n) => Number(n.dataset.seq));
		const bad = seqs.findIndex((seq, i) => i > 0 && seq !== seqs[i - 1] + 1);
		const days = [...document.querySelectorAll('#messages .day')].map((n) => n.dataset.day);
		if (new Set(days).size !== days.length) return 'days ' + days;
		return bad < 0 ? '' : 'seqs ' + seqs.slice(bad - 1, bad + 2);
	})()`); wrong != "" {
		t.Errorf("the log is not dense: %s", wrong)
	}
}

// scrollUp moves the log up by a part of its height and waits for the event.
func scrollUp(tab *chrome.Tab) {
	tab.Do(`new Promise((done) => {
		const log = document.querySelector('#chat-log');
		log.addEventListener('scroll', () => requestAnimationFrame(done), { once: true });
		log.scrollTop -= 150;
	})`)
}

func TestCTimelineLive(t *testing.T) {
	s := server.Start(t, "--limits", "off")

	t.Run("26: at the bottom one stays at the bottom when others write", func(t *testing.T) { bottomStays(t, s) })
	t.Run("27 and 28: scrolled up nothing moves, a pill counts, a click or an own message goes to the bottom", func(t *testing.T) { pillCounts(t, s) })
	t.Run("30: what changes above the window moves nothing in it", func(t *testing.T) { changesAbove(t, s) })
	t.Run("35: resizing, a soft keyboard and a growing box keep the bottom", func(t *testing.T) { resizing(t, s) })
	t.Run("41: 2,000 live messages leave a bounded page that keeps up", func(t *testing.T) { twoThousandLive(t, s) })
	t.Run("typing is shown to the others and ends with the message", func(t *testing.T) { typingShows(t, s) })
}

func bottomStays(t *testing.T, s *server.Server) {
	b := stranger(t, s)
	fill(b, "c26", "earlier", 40)
	a := enter(t, s.URL, "c26", chrome.Look{})
	for i := range 5 {
		text := fmt.Sprintf("live %d\nwith\nlines", i)
		b.says("c26", text)
		shows(a, text)
		if below := chrome.Eval[float64](a, fromBelow); below > 1 {
			t.Errorf("%v px are below after message %d", below, i)
		}
	}
}

func pillCounts(t *testing.T, s *server.Server) {
	b := stranger(t, s)
	fill(b, "c27", "earlier", 45)
	a := enter(t, s.URL, "c27", chrome.Look{})
	scrollUp(a)
	was := chrome.Eval[place](a, firstVisible)
	fill(b, "c27", "live", 3)
	a.Until(`document.querySelector('#pill').textContent.includes('3 new messages')`)
	shows(a, "live 3")
	stays(t, a, was, "three new messages")
	a.Click("#pill")
	a.Until(fromBelow + ` <= 1 && document.querySelector('#pill').hidden`)
	scrollUp(a)
	b.says("c27", "one more")
	a.Until(`document.querySelector('#pill').textContent.includes('1 new message')`)
	say(a, "mine")
	a.Until(fromBelow + ` <= 1 && document.querySelector('#pill').hidden`)
}

func changesAbove(t *testing.T, s *server.Server) {
	b := enter(t, s.URL, "c30", chrome.Look{})
	say(b, "first of all")
	shows(b, "first of all")
	fill(stranger(t, s), "c30", "then", 44)
	a := enter(t, s.URL, "c30", chrome.Look{})
	scrollUp(a)
	was := chrome.Eval[place](a, firstVisible)
	say(b, "/name Somebody With A Longer Name")
	a.Until(`document.querySelector('.message[data-seq="1"]').dataset.name === 'Somebody With A Longer Name'`)
	stays(t, a, was, "another name above")
}

func resizing(t *testing.T, s *server.Server) {
	fill(stranger(t, s), "c35", "message", 45)
	a := enter(t, s.URL, "c35", chrome.Look{})
	for _, size := range [][2]int{{1100, 400}, {700, 400}, {360, 700}, {360, 380}, {1440, 900}} {
		a.Dress(chrome.Look{Width: size[0], Height: size[1]})
		a.Until(`innerWidth === %s && innerHeight === %s`, size[0], size[1])
		a.Until(fromBelow + ` <= 1`)
	}
	say(a, "still here")
	a.Until(fromBelow + ` <= 1`)
}

func twoThousandLive(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "c41", chrome.Look{})
	a.Do(`(() => {
		window.longest = 0;
		new PerformanceObserver((list) => { for (const e of list.getEntries()) window.longest = Math.max(window.longest, e.duration); })
			.observe({ type: 'longtask', buffered: false });
	})()`)
	before := a.Heap()
	flood(t, s, "c41", 2000)
	a.Until(`document.querySelector('#messages .message:last-child')?.dataset.seq === '2000'`)
	dense(t, a)
	if n := chrome.Eval[int](a, messages+`.length`); n > 400 {
		t.Errorf("%d messages are in the document", n)
	}
	if below := chrome.Eval[float64](a, fromBelow); below > 1 {
		t.Errorf("%v px are below", below)
	}
	grown := (a.Heap() - before) / 2000
	if grown > 4096 {
		t.Errorf("the heap grew by %d bytes to the message", grown)
	}
	t.Logf("longest task %v ms, heap %d bytes to the message", chrome.Eval[float64](a, `window.longest`), grown)
}

func typingShows(t *testing.T, s *server.Server) {
	a, b := enter(t, s.URL, "c42", chrome.Look{}), enter(t, s.URL, "c42", chrome.Look{})
	b.Do(box + `.focus()`)
	b.Press("a")
	a.Until(`document.querySelector('#typing').textContent.includes(%s)`, chrome.Eval[string](b, `document.querySelector('#me b').textContent`))
	b.Press(kb.Enter)
	a.Until(`document.querySelector('#typing').textContent === '' && ` + messages + `.length === 1`)
}
