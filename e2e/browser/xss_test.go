package browser_test

import (
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// payloads are texts that are code somewhere; each calls __ran or opens a dialog.
//
//go:embed testdata/payloads.txt
var payloads string

// harmless fails the test when a page ran, asked or reported anything, or has a
// link that is not http.
func harmless(t *testing.T, tab *chrome.Tab, where string) {
	t.Helper()
	seen := chrome.Eval[struct{ CSP, Ran []string }](tab, `window.__seen`)
	if len(seen.CSP) > 0 || len(seen.Ran) > 0 || len(tab.Dialogs()) > 0 {
		t.Errorf("%s: policy reports %q, executions %q, dialogs %q", where, seen.CSP, seen.Ran, tab.Dialogs())
	}
	if bad := chrome.Eval[[]string](tab, `[...document.querySelectorAll('a[href], area[href]')].filter((a) => !/^https?:$/.test(a.protocol)).map((a) => a.href)`); len(bad) > 0 {
		t.Errorf("%s: links %q", where, bad)
	}
}

// texts are the texts of the messages in the log.
const texts = `[...document.querySelectorAll('#messages .message .text')].map((n) => n.textContent)`

func TestE50TextIsNeverCode(t *testing.T) {
	t.Parallel()
	s := server.Start(t, "--limits", "off")

	t.Run("what watches for executions and reports sees them", func(t *testing.T) { watchSees(t) })
	t.Run("messages, live and from the server", func(t *testing.T) { messagesAreText(t, s) })
	t.Run("names, in the log, among those here and in the title of things", func(t *testing.T) { personsAreText(t, s) })
	t.Run("names of rooms, in the room and at the front door", func(t *testing.T) { roomsAreText(t, s) })
	t.Run("right-to-left overrides and piles of marks stay in their message", func(t *testing.T) { bidiStaysInside(t, s) })
}

func watchSees(t *testing.T) {
	for policy, want := range map[string]string{"": "1 0", "script-src 'none'": "0 1"} {
		page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Security-Policy", policy)
			_, _ = fmt.Fprint(w, `<img src="data:," onerror="__ran(1)">`)
		}))
		a := visit(t, chrome.Look{})
		a.Open(page.URL)
		a.Until(`window.__seen.ran.length + ' ' + window.__seen.csp.length === %s`, want)
		page.Close()
	}
}

func messagesAreText(t *testing.T, s *server.Server) {
	all := strings.Split(strings.TrimSpace(payloads), "\n")
	a := enter(t, s.URL, "xss", chrome.Look{})
	g := stranger(t, s)
	for _, p := range all {
		g.says("xss", p)
	}
	for i := 0; i < len(all); i += 15 {
		say(a, all[i])
	}
	a.Until(`document.querySelectorAll('.message[data-state=sent]').length === %s`, len(all)+(len(all)+14)/15)
	rows := stored(t, s, "xss")
	check := func(where string, rows []message) {
		harmless(t, a, where)
		got := chrome.Eval[[]string](a, texts)
		if len(got) != len(rows) {
			t.Fatalf("%s: %d messages, want %d", where, len(got), len(rows))
		}
		for i, m := range rows {
			if got[i] != m.Text {
				t.Errorf("%s: shown as %q, stored as %q", where, got[i], m.Text)
			}
		}
	}
	check("live", rows)
	a.Reload()
	connected(a)
	check("reloaded", rows[len(rows)-50:])
	a.Do(`(() => { for (const n of document.querySelectorAll('#messages .message')) n.dispatchEvent(new MouseEvent('mouseover', { bubbles: true })); })()`)
	harmless(t, a, "under the mouse")
}

func personsAreText(t *testing.T, s *server.Server) {
	all := strings.Split(strings.TrimSpace(payloads), "\n")
	a := enter(t, s.URL, "xss names", chrome.Look{})
	accepted := 0
	for _, p := range all {
		g := stranger(t, s)
		if code := g.renames("xss names", cutTo(p, 32)); code < 400 {
			accepted++
		}
		g.says("xss names", "hello from "+p)
	}
	b := enter(t, s.URL, "xss names", chrome.Look{})
	for _, name := range []string{`<img src=x onerror=__ran(1)>`, `"onload="__ran(1)`, `<svg/onload=__ran(1)>`} {
		say(b, "/name "+name)
		b.Until(`document.querySelector('#me b').textContent === %s || document.querySelector('#name-problem').textContent !== ''`, name)
		b.Reload() // so that it may say at once that it types
		connected(b)
		b.Do(box + `.focus()`)
		// For a second after a message its author is not said to be typing.
		a.Do(`new Promise((done) => setTimeout(done, 1100))`)
		b.Press("x")
		a.Until(`document.querySelector('#typing').textContent !== ''`)
		b.Press("\r")
		a.Until(`document.querySelector('#typing').textContent === ''`)
	}
	harmless(t, a, "live")
	a.Reload()
	connected(a)
	harmless(t, a, "reloaded")
	t.Logf("%d of %d names were accepted", accepted, len(all))
	if accepted == 0 {
		t.Error("no name was accepted: nothing has been tested")
	}
}

func roomsAreText(t *testing.T, s *server.Server) {
	all := strings.Split(strings.TrimSpace(payloads), "\n")
	a := visit(t, chrome.Look{})
	rooms := 0
	for _, p := range all {
		room := cutTo(p, 64)
		a.Open(s.URL + "/chat/" + url.PathEscape(room) + "/")
		if chrome.Eval[bool](a, `Boolean(document.querySelector('#chat-log'))`) {
			rooms++
			connected(a)
			say(a, room)
			a.Until(messages + `.length > 0`)
		}
		harmless(t, a, fmt.Sprintf("room %q", room))
		a.Open(s.URL + "/chat/?room=" + url.QueryEscape(p))
		harmless(t, a, fmt.Sprintf("asking for %q", p))
	}
	a.Open(s.URL + "/")
	harmless(t, a, "front door")
	t.Logf("%d of %d are rooms", rooms, len(all))
	if rooms == 0 {
		t.Error("no name of a room was accepted: nothing has been tested")
	}
}

func bidiStaysInside(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "bidi", chrome.Look{})
	g := stranger(t, s)
	g.says("bidi", "above")
	g.says("bidi", "\u202egnihtyna\u202c \u2067right\u2069 \u202eopen to the end")
	g.says("bidi", "z"+strings.Repeat("\u0301\u0316\u0360", 60)+"algo")
	g.says("bidi", "below")
	shows(a, "below")
	harmless(t, a, "bidi")
	if wrong := chrome.Eval[int](a, messages+`.length - [...`+messages+`].filter((n) => {
		const text = n.querySelector('.text'), style = getComputedStyle(text);
		return style.unicodeBidi === 'isolate' && (style.overflow !== 'visible' || style.contain.includes('paint'));
	}).length`); wrong != 0 {
		t.Errorf("%d messages can draw or turn what stands around them", wrong)
	}
}

// cutTo is the beginning of a text, at most n code points.
func cutTo(text string, n int) string {
	for utf8.RuneCountInString(text) > n {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}
