package browser_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

const (
	box       = `document.querySelector('#chat-message-input')`
	messages  = `document.querySelectorAll('#messages .message')`
	fromBelow = `(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight)(document.querySelector('#chat-log'))`
)

func TestBComposer(t *testing.T) {
	s := server.Start(t, "--limits", "off")

	t.Run("12 and 13: Enter that takes a candidate sends nothing, the next plain Enter sends once", func(t *testing.T) { compositionSendsNothing(t, s) })
	t.Run("16: Shift+Enter makes a line, the box grows and then scrolls, the log stays at its bottom", func(t *testing.T) { boxGrows(t, s) })
	t.Run("17: Ctrl+Enter always sends, and a setting makes Enter a new line", func(t *testing.T) { enterAsSet(t, s) })
	t.Run("18: on a touch device Enter makes a new line and the button sends", func(t *testing.T) { enterOnTouch(t, s) })
	t.Run("19: the draft of each room survives going elsewhere, a reload and a second tab", func(t *testing.T) { draftsSurvive(t, s) })
	t.Run("22: pasted rich text comes as plain text", func(t *testing.T) { richTextIsPlain(t, s) })
	t.Run("25: typing with nothing focused goes into the box and loses no character", func(t *testing.T) { typingAnywhere(t, s) })
	t.Run("a text that only looks like a command because of its slash in the middle is sent", func(t *testing.T) { slashesInside(t, s) })
}

func compositionSendsNothing(t *testing.T, s *server.Server) {
	for name, enterKey := range map[string]func(*chrome.Tab){
		"as key 229":       func(a *chrome.Tab) { a.CandidateKey("Enter") },
		"as the Enter key": func(a *chrome.Tab) { a.Press(kb.Enter) },
	} {
		a := enter(t, s.URL, "b12 "+name, chrome.Look{})
		a.Do(box + `.focus()`)
		a.Compose("ni hao")
		enterKey(a)
		a.Type("你好") // what the input method commits
		if n, text := chrome.Eval[int](a, messages+`.length`), chrome.Eval[string](a, box+`.value`); n != 0 || text != "你好" {
			t.Errorf("%s: %d messages and %q in the box, want none and 你好", name, n, text)
		}
		a.Press(kb.Enter)
		shows(a, "你好")
		if rows := stored(t, s, "b12 "+name); len(rows) != 1 || rows[0].Text != "你好" {
			t.Errorf("%s: stored %+v", name, rows)
		}
	}
}

func boxGrows(t *testing.T, s *server.Server) {
	fill(stranger(t, s), "b16", "message", 60)
	a := enter(t, s.URL, "b16", chrome.Look{})
	a.Until(fromBelow + ` <= 1`)
	before := chrome.Eval[float64](a, box+`.clientHeight`)
	a.Do(box + `.focus()`)
	for range 4 {
		a.Press("x")
		a.Press(kb.Enter, kb.ModifierShift)
	}
	if got := chrome.Eval[string](a, box+`.value`); got != "x\nx\nx\nx\n" {
		t.Fatalf("the box has %q", got)
	}
	if after := chrome.Eval[float64](a, box+`.clientHeight`); after < before+60 {
		t.Errorf("the box is %v px high with five lines, %v with one", after, before)
	}
	a.Until(fromBelow + ` <= 1`)
	for range 30 {
		a.Press(kb.Enter, kb.ModifierShift)
	}
	if !chrome.Eval[bool](a, box+`.scrollHeight > `+box+`.clientHeight + 50 && `+box+`.clientHeight < innerHeight / 2`) {
		t.Error("a box of many lines does not scroll inside")
	}
	a.Until(fromBelow + ` <= 1`)
	a.Press(kb.Enter)
	a.Until(messages + `.length === 51 && ` + fromBelow + ` <= 1`)
}

func enterAsSet(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "b17", chrome.Look{})
	a.Type("one")
	a.Press(kb.Enter, kb.ModifierCtrl)
	shows(a, "one")
	a.Click("#settings summary")
	a.Click("#enter-newline")
	a.Press(kb.Escape)
	a.Do(box + `.focus()`)
	a.Press("a")
	a.Press(kb.Enter)
	a.Press("b")
	if got := chrome.Eval[string](a, box+`.value`); got != "a\nb" {
		t.Errorf("the box has %q", got)
	}
	a.Press(kb.Enter, kb.ModifierCtrl)
	shows(a, "a\nb")
	a.Reload()
	connected(a)
	a.Do(box + `.focus()`)
	a.Press("c" + kb.Enter)
	if got := chrome.Eval[string](a, box+`.value`); got != "c\n" {
		t.Errorf("after a reload the box has %q", got)
	}
}

func enterOnTouch(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "b18", chrome.Look{Width: 360, Height: 740, Touch: true})
	a.Do(box + `.focus()`)
	a.Press("a" + kb.Enter + "b")
	if got := chrome.Eval[string](a, box+`.value`); got != "a\nb" {
		t.Errorf("the box has %q", got)
	}
	a.Click("#chat-message-submit")
	shows(a, "a\nb")
}

func draftsSurvive(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "b19", chrome.Look{})
	a.Type("half a thought")
	a.Open(roomURL(s.URL, "b19 other"))
	connected(a)
	if got := chrome.Eval[string](a, box+`.value`); got != "" {
		t.Errorf("another room has the draft %q", got)
	}
	a.Open(roomURL(s.URL, "b19"))
	connected(a)
	a.Reload()
	connected(a)
	if got := chrome.Eval[string](a, box+`.value`); got != "half a thought" {
		t.Errorf("back and reloaded the draft is %q", got)
	}
	b := a.Another(t)
	b.Open(roomURL(s.URL, "b19"))
	connected(b)
	if got := chrome.Eval[string](b, box+`.value`); got != "half a thought" {
		t.Errorf("the second tab has the draft %q", got)
	}
	a.Do(box + `.blur()`)
	b.Do(box + `.focus()`)
	b.Type(", finished")
	a.Until(box + `.value === 'half a thought, finished'`)
	b.Press(kb.Enter)
	a.Until(box + `.value === ''`)
	shows(a, "half a thought, finished")
}

func richTextIsPlain(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "b22", chrome.Look{})
	a.Do(`addEventListener('copy', (e) => {
		e.clipboardData.setData('text/html', '<b style="color:red">bold</b> <img src=x onerror=__ran(1)>');
		e.clipboardData.setData('text/plain', 'bold');
		e.preventDefault();
	}, { once: true, capture: true })`)
	a.Do(box + `.focus()`)
	a.Edit("copy")
	a.Edit("paste")
	a.Until(box + `.value === 'bold'`)
}

func typingAnywhere(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "b25", chrome.Look{})
	for _, where := range []string{`document.activeElement.blur()`, `document.querySelector('#chat-log').focus()`} {
		a.Do(`(() => { ` + box + `.value = ''; ` + where + `; })()`)
		a.Press("tea?")
		if got := chrome.Eval[string](a, box+`.value`); got != "tea?" {
			t.Errorf("after %s the box has %q", where, got)
		}
	}
}

func slashesInside(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "b26", chrome.Look{})
	say(a, "tea/coffee")
	shows(a, "tea/coffee")
	say(a, strings.Repeat("long ", 20)+"/x")
	a.Until(messages + `.length === 2`)
}
