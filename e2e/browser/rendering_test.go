package browser_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// rgb draws a CSS colour over others and reads it back, so that every way to
// write a colour can be compared.
const rgb = `(...layers) => {
	const canvas = document.createElement('canvas');
	canvas.width = canvas.height = 1;
	const context = canvas.getContext('2d', { willReadFrequently: true });
	for (const colour of layers) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
	return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}`

// contrast is the ratio of two colours (WCAG 2.2, "contrast ratio").
func contrast(a, b [3]float64) float64 {
	light := func(c [3]float64) float64 {
		sum := 0.0
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			v := c[i] / 255
			if v <= 0.04045 {
				v /= 12.92
			} else {
				v = math.Pow((v+0.055)/1.055, 2.4)
			}
			sum += weight * v
		}
		return sum
	}
	x, y := light(a), light(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestERendering(t *testing.T) {
	s := server.Start(t, "--limits", "off")

	t.Run("53: one to six emoji alone are shown big", func(t *testing.T) { bigEmoji(t, s) })
	t.Run("58: a time is a <time> with a datetime, in the visitor's zone and language", func(t *testing.T) { times(t, s) })
	t.Run("60: copying several messages gives [10:21] name: text", func(t *testing.T) { copying(t, s) })
	t.Run("61: names and seals have a contrast of 4.5 in both themes, and everybody has a seal", func(t *testing.T) { contrasts(t, s) })
}

func bigEmoji(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "e53", chrome.Look{})
	for text, big := range map[string]bool{
		"🍵": true, "🍵🍵🍵🍵🍵🍵": true, "👩‍👩‍👧‍👦": true, "👍🏽 🇨🇳": true, "1️⃣": true,
		"🍵🍵🍵🍵🍵🍵🍵": false, "🍵 tea": false, "123": false, "茶": false, "©": false,
	} {
		say(a, text)
		shows(a, text)
		if got := chrome.Eval[bool](a, last+`.querySelector('.text').classList.contains('emoji')`); got != big {
			t.Errorf("%q is shown big: %v", text, got)
		}
	}
	before := chrome.Eval[int](a, `document.querySelectorAll('.text.emoji').length`)
	a.Reload()
	connected(a)
	if after := chrome.Eval[int](a, `document.querySelectorAll('.text.emoji').length`); after != before {
		t.Errorf("%d big messages after a reload, %d before", after, before)
	}
}

func times(t *testing.T, s *server.Server) {
	stranger(t, s).says("e58", "what time is it")
	at, err := time.Parse(time.RFC3339, stored(t, s, "e58")[0].At)
	if err != nil {
		t.Fatal(err)
	}
	for lang, day := range map[string]string{"en-GB,en": at.Weekday().String(), "zh-CN,zh": "星期"} {
		a := enter(t, s.URL, "e58", chrome.Look{Zone: "Asia/Tokyo", Lang: lang})
		got := chrome.Eval[map[string]string](a, `(({ dateTime, title, textContent }) => ({ dateTime, title, textContent }))(document.querySelector('.message time'))`)
		tokyo := at.In(time.FixedZone("Tokyo", 9*3600))
		if got["textContent"] != tokyo.Format("15:04") {
			t.Errorf("%s: shown as %q, want %s", lang, got["textContent"], tokyo.Format("15:04"))
		}
		if lang[:2] == "en" {
			day = tokyo.Weekday().String()
		}
		if !strings.Contains(got["title"], day) {
			t.Errorf("%s: the title %q lacks %s", lang, got["title"], day)
		}
		if parsed, err := time.Parse(time.RFC3339, got["dateTime"]); err != nil || !parsed.Equal(at) {
			t.Errorf("%s: datetime %q, want %v", lang, got["dateTime"], at)
		}
	}
}

func copying(t *testing.T, s *server.Server) {
	b := stranger(t, s)
	b.renames("e60", "Lin")
	fill(b, "e60", "line", 3)
	a := enter(t, s.URL, "e60", chrome.Look{Zone: "UTC"})
	at, err := time.Parse(time.RFC3339, stored(t, s, "e60")[0].At)
	if err != nil {
		t.Fatal(err)
	}
	a.Do(`getSelection().selectAllChildren(document.querySelector('#messages'))`)
	a.Edit("copy")
	a.Do(`(() => { document.activeElement.blur(); ` + box + `.focus(); })()`)
	a.Edit("paste")
	clock := at.UTC().Format("15:04")
	want := fmt.Sprintf("[%[1]s] Lin: line 1\n[%[1]s] Lin: line 2\n[%[1]s] Lin: line 3", clock)
	a.Until(box + `.value !== ''`)
	if got := chrome.Eval[string](a, box+`.value`); got != want {
		t.Errorf("copied %q, want %q", got, want)
	}
	a.Do(`(() => { ` + box + `.value = ''; getSelection().selectAllChildren(document.querySelector('.message .text')); })()`)
	a.Edit("copy")
	a.Do(`(() => { document.activeElement.blur(); ` + box + `.focus(); })()`)
	a.Edit("paste")
	a.Until(box + `.value === 'line 1'`)
}

func contrasts(t *testing.T, s *server.Server) {
	for _, dark := range []bool{false, true} {
		a := enter(t, s.URL, "e60", chrome.Look{Dark: dark})
		pairs := chrome.Eval[map[string][][3]float64](a, `(() => {
			const rgb = `+rgb+`;
			const node = document.querySelector('.message.head'), out = {};
			const style = (selector) => getComputedStyle(node.querySelector(selector));
			for (let hue = 0; hue < 24; hue++) {
				node.querySelector('.name').className = 'name h' + hue;
				node.querySelector('.seal').className = 'seal h' + hue;
				const paper = getComputedStyle(document.documentElement).backgroundColor;
				out['name ' + hue] = [rgb(paper, style('.name').color), rgb(paper)];
				out['seal ' + hue] = [rgb(paper, style('.seal').backgroundColor, style('.seal').color), rgb(paper, style('.seal').backgroundColor)];
			}
			return out;
		})()`)
		if len(pairs) != 2*24 {
			t.Fatalf("%d pairs of colours", len(pairs))
		}
		for what, pair := range pairs {
			if ratio := contrast(pair[0], pair[1]); ratio < 4.5 {
				t.Errorf("dark %v, %s: contrast %.2f", dark, what, ratio)
			}
		}
		if !chrome.Eval[bool](a, `[...`+messages+`].every((n) => n.querySelector('.seal').textContent !== '')`) {
			t.Error("somebody has no seal")
		}
	}
}

func TestGTitle(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	t.Run("69: the title counts what is unread and is plain again when it has been read", func(t *testing.T) {
		b := stranger(t, s)
		b.says("g69", "before")
		a := visit(t, chrome.Look{Blurred: true})
		a.Open(roomURL(s.URL, "g69"))
		connected(a)
		plain := chrome.Eval[string](a, `document.title`)
		if !strings.Contains(plain, "g69") || strings.HasPrefix(plain, "(") {
			t.Errorf("the title is %q", plain)
		}
		hidden := a.Another(t) // takes the place of a in the window
		hidden.Open("about:blank")
		a.Do(`Object.defineProperty(document, 'hidden', { value: true, configurable: true })`)
		fill(b, "g69", "unread", 3)
		a.Until(`document.title === '(3) ' + %s`, plain)
		a.Do(`(() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); })()`)
		a.Dress(chrome.Look{})
		a.Do(box + `.focus()`)
		a.Press(kb.Shift)
		a.Until(`document.title === %s`, plain)
	})
}
