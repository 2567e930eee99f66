package browser_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// latin are words that stay as they are in Chinese: names, keys and units.
var latin = map[string]bool{
	"Teahouse": true, "Enter": true, "Shift": true, "Ctrl": true, "Esc": true, "WebSocket": true, "English": true,
	"lobby": true, "help": true, "name": true, "listen": true, "UTC": true, "http": true, "https": true, "JavaScript": true,
}

// words are the sentences of a page that its visitor can meet: texts, and what
// is said in the place of texts. What people have written is left out.
const words = `(() => {
	const out = [document.title];
	const said = '#messages, bdi, .tag, #invite-url, [lang=en]';
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = walk.nextNode());) if (!n.parentElement.closest(said + ', script, style, noscript')) out.push(n.data);
	for (const e of document.querySelectorAll('[aria-label], [title], [placeholder], [alt]')) {
		if (e.closest(said)) continue;
		for (const a of ['aria-label', 'title', 'placeholder', 'alt']) out.push(e.getAttribute(a) ?? '');
	}
	return out.map((s) => s.trim()).filter(Boolean);
})()`

// tooWide are elements that are cut off or push the page sideways.
const tooWide = `(() => {
	const out = [];
	if (document.documentElement.scrollWidth > innerWidth) out.push('page ' + document.documentElement.scrollWidth);
	for (const e of document.querySelectorAll('button, label, legend, summary, h1, h2, .lead, .note, .quiet, dt, dd, #banner p, #composer-note')) {
		if (!e.checkVisibility() || e.closest('.unseen')) continue;
		const { left, right } = e.getBoundingClientRect();
		if (left < -1 || right > innerWidth + 1) out.push((e.id || e.className || e.tagName) + ' at ' + left + '..' + right);
		if (e.tagName === 'BUTTON' && e.scrollWidth > e.clientWidth + 1) out.push((e.id || e.className || e.textContent) + ' is cut');
	}
	for (const d of document.querySelectorAll('dialog[open], .sheet')) {
		const style = getComputedStyle(d), box = d.getBoundingClientRect();
		for (const e of d.children) {
			const { right, width } = e.getBoundingClientRect();
			if (width && getComputedStyle(e).position !== 'absolute' && right > box.right - parseFloat(style.paddingRight) + 1) out.push((e.id || e.className || e.tagName) + ' in ' + d.id);
		}
	}
	return out;
})()`

func TestJPlaces(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	stranger(t, s).says("places", "good morning")

	t.Run("93: on a phone everything to touch is at least 44 px", func(t *testing.T) { touchTargets(t, s) })
	t.Run("95: the theme is there with the first frame, by the system or by choice", func(t *testing.T) { themeAtFirst(t, s) })
	t.Run("96: the language is the browser's, changes at once, and is complete", func(t *testing.T) { languages(t, s) })
	t.Run("96: nothing is cut off, also where words are 40 % longer", func(t *testing.T) { nothingCutOff(t, s) })
	t.Run("97: the first load is small, asks nobody else, and what is hashed is kept", func(t *testing.T) { smallFirstLoad(t, s) })
	t.Run("98: without JavaScript a room can be read and written in", func(t *testing.T) { withoutScript(t, s) })
	t.Run("99: a room's page says what it is", func(t *testing.T) { headOfThePage(t, s) })
	t.Run("100: a guest types at once under a friendly name and renames in one click", func(t *testing.T) { guestsRename(t, s) })
	t.Run("102: the invitation can be copied and shown as a QR code, and its link works on a phone", func(t *testing.T) { invitations(t, s) })
}

func touchTargets(t *testing.T, s *server.Server) {
	a := visit(t, chrome.Look{Width: 360, Height: 740, Touch: true})
	for path, prepare := range map[string]string{
		"/":              `0`,
		"/chat/places/":  `document.querySelector('#settings').open = true`,
		"/chat/places/?": `(() => { document.querySelector('#me').open = true; document.querySelector('#invite').showModal(); })()`,
	} {
		a.Open(s.URL + path)
		a.Do(prepare)
		if small := chrome.Eval[[]string](a, `[...document.querySelectorAll('button, summary, select, textarea, input:not([type=hidden], [type=checkbox]), .home, .quiet, .check, .rooms a, .fresh a, .more')]
			.filter((e) => e.checkVisibility({ visibilityProperty: true })).map((e) => [e, e.getBoundingClientRect()])
			.filter(([, r]) => r.width < 43.5 || r.height < 43.5).map(([e, r]) => (e.id || e.className || e.textContent) + ' ' + r.width + 'x' + r.height)`); len(small) > 0 {
			t.Errorf("%s: %q", path, small)
		}
	}
}

func themeAtFirst(t *testing.T, s *server.Server) {
	const paper = `getComputedStyle(document.documentElement).backgroundColor`
	first := func(dark bool) *chrome.Tab {
		return visit(t, chrome.Look{Dark: dark, Before: `requestAnimationFrame(function look() {
			if (document.body) window.firstPaper = ` + paper + `; else requestAnimationFrame(look);
		})`})
	}
	day, night := first(false), first(true)
	day.Open(roomURL(s.URL, "places"))
	night.Open(roomURL(s.URL, "places"))
	light, dark := chrome.Eval[string](day, paper), chrome.Eval[string](night, paper)
	if light == dark {
		t.Fatalf("both themes are %s", light)
	}
	connected(day)
	day.Click("#settings summary")
	day.Click("#settings [value=dark]")
	day.Until(paper+` === %s`, dark)
	day.Reload()
	day.Until(paper+` === %s && window.firstPaper === %s`, dark, dark)
	day.Click("#settings summary")
	day.Click("#settings [value=system]")
	day.Until(paper+` === %s`, light)
	day.Reload()
	day.Until(`window.firstPaper === %s`, light)
	harmless(t, day, "themes")
}

func languages(t *testing.T, s *server.Server) {
	a := visit(t, chrome.Look{Lang: "zh-CN,zh,en"})
	for _, path := range []string{"/", "/chat/places/", "/chat/?room=a%2Fb", "/nothing", "/chat/a%2Fb/"} {
		a.Open(s.URL + path)
		if lang := chrome.Eval[string](a, `document.documentElement.lang`); !strings.HasPrefix(lang, "zh") {
			t.Errorf("%s: the page is in %q", path, lang)
		}
		if chrome.Eval[bool](a, `Boolean(document.querySelector('#chat-log'))`) {
			connected(a)
			say(a, "/dance")
			a.Until(`document.querySelector('#composer-note').classList.contains('told')`)
		}
		for _, text := range chrome.Eval[[]string](a, words) {
			for _, w := range strings.FieldsFunc(text, func(r rune) bool { return (r|0x20) < 'a' || (r|0x20) > 'z' }) {
				if len(w) > 2 && !latin[w] && w != "places" && w != "dance" {
					t.Errorf("%s: %q in %q", path, w, text)
				}
			}
		}
	}
	a.Open(roomURL(s.URL, "places"))
	connected(a)
	a.Click("#settings summary")
	a.Click("#settings [value=en]")
	a.Until(`document.documentElement.lang === 'en' && document.querySelector('#chat-message-submit').textContent.includes('Send')`)
	a.Until(`document.querySelector('#chat-log')`)
}

func nothingCutOff(t *testing.T, s *server.Server) {
	for _, width := range []int{360, 768, 1440} {
		for _, lang := range []string{"en-GB,en", "zh-CN,zh"} {
			a := visit(t, chrome.Look{Width: width, Height: 800, Lang: lang})
			for _, path := range []string{"/", "/chat/places/", "/chat/" + url.PathEscape(strings.Repeat("long name of a room ", 3)) + "/"} {
				a.Open(s.URL + path)
				for _, longer := range []string{`0`, `(() => {
					const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
					for (let n; (n = walk.nextNode());) {
						const text = n.data.trim();
						if (text.length > 3 && n.parentElement.closest('button, label, legend, summary, h2, .lead, .note, .quiet')) {
							n.data = n.data + ' ' + text.slice(0, Math.ceil(text.length * .4) - 1);
						}
					}
				})()`} {
					a.Do(longer)
					for _, open := range []string{`0`, `document.querySelector('#settings').open = true`, `document.querySelector('#invite')?.showModal()`} {
						a.Do(open)
						if wide := chrome.Eval[[]string](a, tooWide); len(wide) > 0 {
							t.Errorf("%d px, %s, %s, longer %v: %q", width, lang, path, longer != `0`, wide)
						}
					}
					a.Do(`document.querySelector('#invite')?.close()`)
				}
			}
		}
	}
}

func smallFirstLoad(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "places", chrome.Look{})
	for _, address := range a.Requests() {
		if !strings.HasPrefix(address, s.URL+"/") && !strings.HasPrefix(address, "data:") && !strings.HasPrefix(address, "about:") {
			t.Errorf("the page asks %s", address)
		}
	}
	const bytes = `performance.getEntriesByType('resource').filter((e) => /\.(js|css)$/.test(e.name)).reduce((n, e) => n + e.%s, 0)`
	size := chrome.Eval[int](a, fmt.Sprintf(bytes, "encodedBodySize"))
	if size == 0 || size > 60<<10 {
		t.Errorf("scripts and styles are %d bytes", size)
	}
	a.Open(roomURL(s.URL, "places") + "1")
	connected(a)
	if again := chrome.Eval[int](a, fmt.Sprintf(bytes, "transferSize")); again != 0 {
		t.Errorf("%d bytes of scripts and styles came again", again)
	}
	t.Logf("scripts and styles: %d bytes compressed", size)
}

func withoutScript(t *testing.T, s *server.Server) {
	g := stranger(t, s)
	fill(g, "plain room", "line", 60)
	a := visit(t, chrome.Look{NoScript: true})
	a.Open(roomURL(s.URL, "plain room"))
	if n := chrome.Eval[int](a, messages+`.length`); n != 50 {
		t.Errorf("%d messages, want 50", n)
	}
	a.Click("#chat-message-input")
	a.Type("by form")
	a.Click("#chat-message-submit")
	a.Until(last + `.querySelector('.text').textContent === 'by form'`)
	a.Do(`document.querySelector('#me').open = true`)
	a.Click("#name-input")
	a.Edit("selectAll")
	a.Type("Paper Crane")
	a.Click("#rename button")
	a.Until(last + `.dataset.name === 'Paper Crane'`)
	a.Click("#older a")
	a.Until(`location.search.startsWith('?before=') && document.querySelector('.message').dataset.seq === '1'`)
	if n := len(stored(t, s, "plain room")); n != 61 {
		t.Errorf("stored %d messages", n)
	}
}

func headOfThePage(t *testing.T, s *server.Server) {
	g := stranger(t, s)
	fill(g, "head", "line", 120)
	a := visit(t, chrome.Look{})
	a.Open(roomURL(s.URL, "head") + "?before=100")
	for selector, want := range map[string]string{
		`link[rel=canonical]`:             roomURL(s.URL, "head"),
		`meta[property="og:title"]`:       "head – Teahouse",
		`meta[property="og:url"]`:         roomURL(s.URL, "head"),
		`meta[name=robots]`:               "noindex",
		`link[rel=prev]`:                  roomURL(s.URL, "head") + "?before=50",
		`link[rel=next]`:                  roomURL(s.URL, "head") + "?after=99",
		`meta[name=description]`:          "Open a link, talk, lose nothing.",
		`meta[property="og:description"]`: "Open a link, talk, lose nothing.",
	} {
		if got := chrome.Eval[string](a, `(({ href, content }) => href ?? content)(document.querySelector(%s) ?? { content: 'missing' })`, selector); got != want {
			t.Errorf("%s is %q, want %q", selector, got, want)
		}
	}
	if title := chrome.Eval[string](a, `document.title`); title != "head – Teahouse" {
		t.Errorf("the title is %q", title)
	}
}

func guestsRename(t *testing.T, s *server.Server) {
	a, b := enter(t, s.URL, "guests", chrome.Look{}), enter(t, s.URL, "guests", chrome.Look{Lang: "zh-CN,zh"})
	a.Press("h")
	a.Type("ello")
	a.Press(kb.Enter)
	shows(b, "hello")
	name := chrome.Eval[string](a, `document.querySelector('#me b').textContent`)
	if got := chrome.Eval[string](b, last+`.dataset.name`); got != name || len(strings.Fields(name)) != 2 {
		t.Errorf("B sees %q, A is %q", got, name)
	}
	if zh := chrome.Eval[string](b, `document.querySelector('#me b').textContent`); zh[0] < 0x80 {
		t.Errorf("a Chinese guest is called %q", zh)
	}
	a.Click("#me summary")
	a.Until(`document.activeElement.id === 'name-input'`)
	a.Type("Lin Mei")
	a.Press(kb.Enter)
	a.Until(`document.querySelector('#me b').textContent === 'Lin Mei' && !document.querySelector('#me').open`)
	b.Until(`[...document.querySelectorAll('#people li bdi')].some((n) => n.textContent === 'Lin Mei')`)
	say(a, "it is me")
	shows(b, "it is me")
	if got := chrome.Eval[string](b, last+`.dataset.name`); got != "Lin Mei" {
		t.Errorf("B sees %q", got)
	}
}

func invitations(t *testing.T, s *server.Server) {
	a := enter(t, s.URL, "茶 room", chrome.Look{})
	a.Click("#invite-button")
	a.Until(`document.querySelector('#invite').open && document.querySelector('#invite .local').checkVisibility() && document.querySelector('#invite img').naturalWidth > 0`)
	a.Click("#invite-copy")
	a.Until(`document.querySelector('#invite-copy').textContent === 'Copied'`)
	a.Press(kb.Escape)
	a.Do(`(() => { document.activeElement.blur(); ` + box + `.focus(); })()`)
	a.Edit("paste")
	a.Until(box + `.value !== ''`)
	copied := chrome.Eval[string](a, box+`.value`)
	phone := visit(t, chrome.Look{Width: 360, Height: 740, Touch: true})
	phone.Open(copied)
	connected(phone)
	if got := chrome.Eval[string](phone, `document.querySelector('#room').dataset.room`); got != "茶 room" {
		t.Errorf("the link %s leads to %q", copied, got)
	}
	harmless(t, a, "invitation")
	far := visit(t, chrome.Look{})
	far.Open(roomURL(server.Start(t, "--base-url", "https://tea.example").URL, "茶 room"))
	connected(far)
	far.Click("#invite-button")
	far.Until(`document.querySelector('#invite img').naturalWidth > 0 && document.querySelector('#invite-url').value.startsWith('https://tea.example/chat/')`)
}
