package browser_test

import (
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/browser/link"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// onEnter makes the page note, in the first frame after Enter is pressed, what
// its log and its box are like.
const onEnter = `addEventListener('keydown', (e) => {
	if (e.key !== 'Enter') return;
	requestAnimationFrame(() => {
		const node = document.querySelector('#messages .message:last-child');
		const box = document.querySelector('#chat-message-input');
		window.atEnter = {
			text: node?.querySelector('.text').textContent, state: node?.dataset.state, busy: node?.getAttribute('aria-busy'),
			box: box.value, focused: document.activeElement === box,
		};
	});
}, { capture: true })`

// atEnter is what onEnter notes.
type atEnter struct {
	Text, State, Busy, Box string
	Focused                bool
}

// last is the newest message's element.
const last = `document.querySelector('#messages .message:last-child')`

func TestASending(t *testing.T) {
	s := server.Start(t, "--limits", "off")

	t.Run("1, 2 and 7: Enter shows the message within a frame, as pending, with the box empty and focused; acknowledged it is the same node in the same place", func(t *testing.T) { pendingWithinAFrame(t, s) })
	t.Run("3: the clock appears after about a second, not sooner", func(t *testing.T) { clockAfterASecond(t, s) })
	t.Run("4 and 5: a refused message offers Retry and Discard and can be selected; five fast clicks on Retry store one row", func(t *testing.T) { failedOffersRetry(t, s) })
	t.Run("6: a pending message survives a reload and is sent once when there is a connection", func(t *testing.T) { outboxSurvivesReload(t, s) })
	t.Run("8: the counter appears at 90 % of 4,000 characters, above them sending is off and the text is kept", func(t *testing.T) { limitOfTheBox(t, s) })
	t.Run("10: an unknown command is a hint and posts nothing; //x posts /x", func(t *testing.T) { commands(t, s) })
	t.Run("a refusal for being too fast is waited for and then sent, without a word", func(t *testing.T) { tooFastIsWaitedFor(t, s) })
}

func pendingWithinAFrame(t *testing.T, s *server.Server) {
	k := connect(t, s)
	a := enter(t, k.URL(), "a1", chrome.Look{})
	a.Do(onEnter)
	k.Hold()
	say(a, "good morning")
	a.Until(`window.atEnter`)
	if got, want := chrome.Eval[atEnter](a, `window.atEnter`), (atEnter{"good morning", "pending", "true", "", true}); got != want {
		t.Errorf("one frame after Enter: %+v, want %+v", got, want)
	}
	a.Do(`(() => { window.node = ` + last + `; window.top0 = node.getBoundingClientRect().top; })()`)
	k.Release()
	a.Until(`window.node.dataset.state === 'sent'`)
	if moved := chrome.Eval[float64](a, `Math.abs(window.node.getBoundingClientRect().top - window.top0)`); moved > 1 {
		t.Errorf("the message moved by %v px when it was acknowledged", moved)
	}
	if !chrome.Eval[bool](a, `window.node.isConnected && window.node === `+last+` && !window.node.hasAttribute('aria-busy')`) {
		t.Error("the acknowledged message is another node, or still busy")
	}
}

func clockAfterASecond(t *testing.T, s *server.Server) {
	k := connect(t, s)
	a := enter(t, k.URL(), "a3", chrome.Look{})
	k.Hold()
	say(a, "slowly")
	a.Do(`(() => {
		const node = ` + last + `, mark = node.querySelector('.mark'), begin = performance.now();
		const look = () => {
			if (getComputedStyle(mark).visibility === 'visible') window.clockAfter = performance.now() - begin;
			else requestAnimationFrame(look);
		};
		look();
	})()`)
	a.Until(`window.clockAfter !== undefined`)
	// The observation begins a little after the message has appeared.
	if ms := chrome.Eval[float64](a, `window.clockAfter`); ms < 500 {
		t.Errorf("the clock appeared after %v ms", ms)
	}
	k.Release()
	shows(a, "slowly")
	if chrome.Eval[bool](a, `Boolean(document.querySelector('.mark'))`) {
		t.Error("the clock stays when the message is sent")
	}
}

func failedOffersRetry(t *testing.T, s *server.Server) {
	k := connect(t, s)
	a := enter(t, k.URL(), "a5", chrome.Look{})
	k.Refuse(link.Refusal{Code: "bad_text", Message: "Not this one."}, link.Refusal{Code: "bad_text", Message: "Nor this."})
	say(a, "try me")
	a.Until(last + `.dataset.state === 'failed'`)
	if got := chrome.Eval[string](a, `(() => {
		getSelection().selectAllChildren(`+last+`.querySelector('.text'));
		return getSelection().toString();
	})()`); got != "try me" {
		t.Errorf("selecting the failed text gives %q", got)
	}
	if !chrome.Eval[bool](a, `Boolean(`+last+`.querySelector('.retry') && `+last+`.querySelector('.discard'))`) {
		t.Fatal("no Retry or no Discard")
	}
	nonce := chrome.Eval[string](a, last+`.dataset.nonce`)
	say(a, "drop me")
	a.Until(`document.querySelectorAll('.message[data-state=failed]').length === 2`)
	a.Do(last + `.querySelector('.discard').click()`)
	a.Until(`document.querySelectorAll('.message').length === 1`)
	k.Hold()
	a.Do(`(() => { for (let i = 0; i < 5; i++) ` + last + `.querySelector('.retry')?.click(); })()`)
	k.Release()
	shows(a, "try me")
	rows := stored(t, s, "a5")
	if len(rows) != 1 || rows[0].Text != "try me" || rows[0].Nonce != nonce {
		t.Errorf("stored %+v, want one row with the nonce %s", rows, nonce)
	}
}

func outboxSurvivesReload(t *testing.T, s *server.Server) {
	k := connect(t, s)
	a := enter(t, k.URL(), "a6", chrome.Look{Before: noStream})
	k.Block()
	a.Until(state + ` !== 'open'`)
	say(a, "keep me")
	a.Until(last + `.dataset.state === 'pending'`)
	k.Hold()
	k.Up()
	a.Reload()
	a.Until(last + `?.dataset.state === 'pending' && ` + last + `.querySelector('.text').textContent === 'keep me'`)
	k.Release()
	shows(a, "keep me")
	if rows := stored(t, s, "a6"); len(rows) != 1 {
		t.Errorf("stored %d rows, want 1", len(rows))
	}
	a.Reload()
	connected(a)
	if n := chrome.Eval[int](a, `document.querySelectorAll('.message').length`); n != 1 {
		t.Errorf("%d messages after another reload, want 1", n)
	}
}

func limitOfTheBox(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "a8", chrome.Look{})
	for _, row := range []struct {
		length   int
		counter  bool
		disabled bool
	}{{3599, false, false}, {3600, true, false}, {4000, true, false}, {4001, true, true}} {
		a.Do(`(() => { const b = document.querySelector('#chat-message-input'); b.value = ''; b.focus(); })()`)
		a.Type(strings.Repeat("茶", row.length))
		if got := chrome.Eval[bool](a, `!document.querySelector('#counter').hidden`); got != row.counter {
			t.Errorf("%d characters: counter shown is %v", row.length, got)
		}
		if got := chrome.Eval[bool](a, `document.querySelector('#chat-message-submit').disabled`); got != row.disabled {
			t.Errorf("%d characters: sending disabled is %v", row.length, got)
		}
	}
	a.Press("\r")
	if n := chrome.Eval[int](a, `document.querySelector('#chat-message-input').value.length + document.querySelectorAll('.message').length`); n != 4001 {
		t.Errorf("Enter above the limit leaves %d, want the 4001 characters in the box and no message", n)
	}
}

func commands(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "a10", chrome.Look{})
	say(a, "/dance now")
	a.Until(`document.querySelector('#composer-note').textContent.includes('/dance')`)
	if got := chrome.Eval[string](a, `document.querySelector('#chat-message-input').value`); got != "/dance now" {
		t.Errorf("the box has %q", got)
	}
	a.Do(`document.querySelector('#chat-message-input').select()`)
	a.Type("//dance now")
	a.Press("\r")
	shows(a, "/dance now")
	if rows := stored(t, s, "a10"); len(rows) != 1 || rows[0].Text != "/dance now" {
		t.Errorf("stored %+v", rows)
	}
}

func tooFastIsWaitedFor(t *testing.T, s *server.Server) {
	k := connect(t, s)
	a := enter(t, k.URL(), "a11", chrome.Look{})
	k.Refuse(link.Refusal{Code: "rate_limited", Message: "Slow down.", Retry: 50 * time.Millisecond})
	say(a, "one")
	say(a, "two")
	shows(a, "two")
	if rows := stored(t, s, "a11"); len(rows) != 2 || rows[0].Text != "one" {
		t.Errorf("stored %+v", rows)
	}
}
