package browser_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// hear makes the page note every sentence that it gives to screen readers from
// the log.
const hear = `(() => {
	window.heard = [];
	new MutationObserver((records) => {
		for (const r of records) for (const n of r.addedNodes) if (n.textContent) window.heard.push(n.textContent);
	}).observe(document.querySelector('#announcer'), { childList: true, subtree: true, characterData: true });
})()`

// focused says what has the focus, for people.
const focused = `(({ id, className, tagName }) => id || className.split(' ')[0] || tagName)(document.activeElement)`

func TestIAccess(t *testing.T) {
	s := server.Start(t, "--limits", "off")

	t.Run("82: the log has its role, a name and one voice", func(t *testing.T) { oneVoice(t, s) })
	t.Run("83 and 84: a message is announced as name, text, time; a burst of 20 as one summary; own messages not at all", func(t *testing.T) { announcements(t, s) })
	t.Run("85: arrows and J K move over the messages, Esc goes back to the box", func(t *testing.T) { rovingFocus(t, s) })
	t.Run("88: Tab goes skip link, bar, log, box; every stop is seen; dialogs keep the focus and give it back", func(t *testing.T) { tabOrder(t, s) })
	t.Run("91: who types is seen and not heard, and a crowd is no list", func(t *testing.T) { typingIsSilent(t, s) })
	t.Run("92: the connection is a status, what went wrong an alert", func(t *testing.T) { statusAndAlert(t, s) })
}

func oneVoice(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "i82", chrome.Look{})
	for name, want := range map[string]string{"role": "log", "aria-live": "polite", "aria-relevant": "additions", "aria-label": "Messages in i82"} {
		if got := chrome.Eval[string](a, chatLog+`.getAttribute(%s)`, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	// Everything in the log is silent but the announcer.
	if !chrome.Eval[bool](a, `document.querySelector('#messages').getAttribute('aria-live') === 'off' && Boolean(`+chatLog+`.querySelector('#announcer'))`) {
		t.Error("the list speaks beside the announcer, or there is none")
	}
}

func announcements(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "i83", chrome.Look{})
	a.Do(hear)
	say(a, "my own")
	shows(a, "my own")
	b := stranger(t, s)
	b.renames("i83", "Lin")
	b.says("i83", "just one")
	a.Until(`window.heard.length === 1`)
	if got := chrome.Eval[string](a, `window.heard[0]`); !strings.HasPrefix(got, "Lin: just one, ") {
		t.Errorf("announced %q", got)
	}
	a.Do(`window.heard.length = 0`)
	fill(b, "i83", "burst", 20)
	b.says("i83", "the end")
	shows(a, "the end")
	// Twenty-one messages in two breaths at most.
	a.Until(`window.heard.reduce((n, text) => n + Number(/^\d+/.exec(text)?.[0] ?? 1), 0) === 21`)
	if n := chrome.Eval[int](a, `window.heard.length`); n > 4 {
		t.Errorf("%d announcements for a burst: %q", n, chrome.Eval[[]string](a, `window.heard`))
	}
}

func rovingFocus(t *testing.T, s *server.Server) {
	fill(stranger(t, s), "i85", "message", 30)
	a := enter(t, s.URL, "i85", chrome.Look{})
	a.Do(chatLog + `.focus()`)
	const at = `Number(document.activeElement.dataset.seq ?? 0)`
	for _, step := range []struct {
		key  string
		want int
	}{{kb.ArrowUp, 30}, {kb.ArrowUp, 29}, {"k", 28}, {"j", 29}, {kb.ArrowDown, 30}, {kb.ArrowDown, 30}} {
		a.Press(step.key)
		if got := chrome.Eval[int](a, at); got != step.want {
			t.Errorf("after %q the focus is on %d, want %d", step.key, got, step.want)
		}
	}
	for range 29 {
		a.Press("k")
	}
	a.Until(at + ` === 1 && document.activeElement.getBoundingClientRect().top >= ` + chatLog + `.getBoundingClientRect().top`)
	a.Press(kb.Escape)
	if got := chrome.Eval[string](a, focused); got != "chat-message-input" {
		t.Errorf("Esc puts the focus on %s", got)
	}
	if n := chrome.Eval[int](a, box+`.value.length`); n != 0 {
		t.Errorf("%d characters went into the box", n)
	}
	a.Do(chatLog + `.focus()`)
	a.Press("?")
	a.Until(`document.querySelector('#shortcuts').open`)
}

func tabOrder(t *testing.T, s *server.Server) {
	fill(stranger(t, s), "i88", "message", 30)
	a := enter(t, s.URL, "i88", chrome.Look{})
	a.Do(`document.querySelector('.skip').focus()`)
	a.Press(kb.Tab)
	a.Press(kb.Tab, kb.ModifierShift)
	var order []string
	for range 14 {
		what := chrome.Eval[string](a, focused)
		order = append(order, what)
		if !chrome.Eval[bool](a, `(() => {
			const shown = [document.activeElement, document.activeElement.closest('#composer')].filter(Boolean).some((e) => {
				const s = getComputedStyle(e), { top, bottom } = e.getBoundingClientRect();
				return (s.outlineStyle !== 'none' || s.boxShadow !== 'none') && bottom > 0 && top < innerHeight;
			});
			return shown;
		})()`) {
			t.Errorf("the focus on %s is not seen", what)
		}
		if what == "chat-message-input" {
			break
		}
		a.Press(kb.Tab)
	}
	path := strings.Join(order, " ")
	if !strings.HasPrefix(path, "skip ") || !strings.Contains(path, "chat-log") || !strings.HasSuffix(path, "chat-message-input") {
		t.Errorf("Tab goes %s", path)
	}
	a.Do(`document.querySelector('.skip').click()`)
	if got := chrome.Eval[string](a, focused); got != "chat-message-input" {
		t.Errorf("the skip link leads to %s", got)
	}

	a.Do(`document.querySelector('#invite-button').focus()`)
	a.Press(kb.Enter)
	a.Until(`document.querySelector('#invite').open`)
	for range 8 {
		a.Press(kb.Tab)
		if !chrome.Eval[bool](a, `document.activeElement === document.body || document.querySelector('#invite').contains(document.activeElement)`) {
			t.Fatalf("Tab leaves the dialog for %s", chrome.Eval[string](a, focused))
		}
	}
	a.Press(kb.Escape)
	a.Until(`!document.querySelector('#invite').open && document.activeElement.id === 'invite-button'`)
}

func typingIsSilent(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "i91", chrome.Look{})
	if chrome.Eval[bool](a, `Boolean(document.querySelector('#typing').closest('[aria-live], [role=status], [role=log], [role=alert]'))`) {
		t.Error("the typing line is in a live region")
	}
	var others [4]*chrome.Tab
	for i := range others {
		others[i] = enter(t, s.URL, "i91", chrome.Look{})
	}
	// Each sign is good for six seconds, which is enough for four of them.
	for i, want := range []string{" is typing", " and ", "3 people are typing", "Several people are typing"} {
		others[i].Press("x")
		a.Until(`document.querySelector('#typing').textContent.includes(%s)`, want)
	}
}

func statusAndAlert(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "i92", chrome.Look{})
	if !chrome.Eval[bool](a, `document.querySelector('#connection[role=status]').textContent.trim() === 'Connected'`) {
		t.Error("the connection is not told as a status")
	}
	say(a, "/name admin")
	a.Until(`document.querySelector('#name-problem[role=alert]').checkVisibility() && document.activeElement.value === 'admin'`)
}

func TestIWithMoreContrast(t *testing.T) {
	t.Parallel()
	s := server.Start(t, "--limits", "off")
	fill(stranger(t, s), "i90", "message", 5)
	for _, media := range []map[string]string{{"forced-colors": "active"}, {"prefers-contrast": "more"}} {
		t.Run(fmt.Sprintf("90: usable with %v", media), func(t *testing.T) {
			for _, dark := range []bool{false, true} {
				a := enter(t, s.URL, "i90", chrome.Look{Media: media, Dark: dark})
				low := chrome.Eval[[]string](a, `(() => {
					const rgb = `+rgb+`, out = [];
					const light = (c) => c.map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((n, v, i) => n + v * [.2126, .7152, .0722][i], 0);
					for (const e of document.querySelectorAll('.text, .who .name, h1, #chat-message-input, #chat-message-submit, #connection, .when')) {
						const layers = [];
						for (let up = e; up; up = up.parentElement) layers.unshift(getComputedStyle(up).backgroundColor);
						const [x, y] = [light(rgb('Canvas', ...layers)), light(rgb('Canvas', ...layers, getComputedStyle(e).color))].sort((p, q) => p - q);
						if (e.checkVisibility() && (y + .05) / (x + .05) < 7) out.push(e.id || e.className);
					}
					return out;
				})()`)
				if len(low) > 0 {
					t.Errorf("dark %v: contrast below 7 at %v", dark, low)
				}
				if !chrome.Eval[bool](a, `getComputedStyle(document.querySelector('#composer')).borderTopWidth !== '0px'`) {
					t.Errorf("dark %v: the box has no border", dark)
				}
				say(a, fmt.Sprint("usable ", media, dark))
				shows(a, fmt.Sprint("usable ", media, dark))
			}
		})
	}
}
