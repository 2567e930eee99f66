package browser_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// line is something said in the rooms of the pictures.
type line struct {
	who, text string
	ago       time.Duration
}

// conversations are what is said in the rooms of the pictures.
func conversations() map[string][]line {
	const day = 24 * time.Hour
	return map[string][]line{
		"paper-lantern": {
			{"Quiet Heron", "The new shelf is up. Forty-two jars, and not one of them labelled.", 26 * time.Hour},
			{"Amber Finch", "Then nobody can be wrong about what is in them.", 26*time.Hour - time.Minute},
			{"Quiet Heron", "I will bring the labels on Thursday: https://example.org/labels/print?size=small", 25 * time.Hour},
			{"Moss Garden", "good morning everybody", 52 * time.Minute},
			{"Moss Garden", "The spring harvest has come: two kilos of Longjing and a small bag of something the farmer would not name.", 51 * time.Minute},
			{"Amber Finch", "🍵", 49 * time.Minute},
			{"Quiet Heron", "Shall we open the small bag first?\n\n1. warm the gaiwan\n2. eighty degrees, not a degree more\n3. nobody speaks for a minute", 31 * time.Minute},
			{"Amber Finch", "The third one is the hard one.", 30 * time.Minute},
			{"Paper Boat", "I am on the train until four, keep a cup for me? I lost the connection in the tunnel and this was sent by itself when I came out, which is nice.", 12 * time.Minute},
			{"Moss Garden", "A cup is kept.", 11 * time.Minute},
			{"Moss Garden", "The door is open, as always.", 11 * time.Minute},
		},
		"听雨轩": {
			{"静谧白鹭", "新架子装好了，四十二只茶罐，一张标签都没有。", 26 * time.Hour},
			{"青石小径", "那就谁也不会认错。", 26*time.Hour - time.Minute},
			{"静谧白鹭", "标签星期四带来：https://example.org/labels/打印?size=small", 25 * time.Hour},
			{"竹影清风", "大家早上好", 52 * time.Minute},
			{"竹影清风", "明前的茶到了：两斤龙井，还有一小包，茶农不肯说是什么。", 51 * time.Minute},
			{"青石小径", "🍵", 49 * time.Minute},
			{"静谧白鹭", "先开那一小包吗？\n\n一、温盖碗\n二、八十度，一度也不能多\n三、一分钟之内谁也不说话", 31 * time.Minute},
			{"青石小径", "第三条最难。", 30 * time.Minute},
			{"一叶扁舟", "我在火车上，四点才到，给我留一杯好吗？刚才过隧道断线了，出来以后这句话自己就发出去了，真好。", 12 * time.Minute},
			{"竹影清风", "给你留着。", 11 * time.Minute},
			{"竹影清风", "门一直开着。", 11 * time.Minute},
		},
		"garden-table": {{"Amber Finch", "Who waters the bonsai this week?", 3 * time.Hour}},
		"松涛草堂":         {{"静谧白鹭", "周末去看新茶吗？", 5 * time.Hour}},
		"night-kettle": {{"Paper Boat", "Still awake?", 2*day + time.Hour}},
	}
}

// furnish says the conversations and gives them their times.
func furnish(t *testing.T, s *server.Server) {
	t.Helper()
	people := map[string]*guest{}
	now := time.Now()
	for room, lines := range conversations() {
		for _, l := range lines {
			g := people[l.who]
			if g == nil {
				g = stranger(t, s)
				people[l.who] = g
				if code := g.renames(room, l.who); code >= 400 {
					t.Fatalf("the name %q: status %d", l.who, code)
				}
			}
			g.says(room, l.text)
		}
	}
	for room, lines := range conversations() {
		saidAt(t, s, room, func(seq int) time.Time { return now.Add(-lines[seq-1].ago) })
	}
}

// settled waits until nothing moves and everything is drawn.
func settled(tab *chrome.Tab) {
	tab.Do(`document.fonts.ready`)
	tab.Do(`Promise.all(document.getAnimations().map((a) => a.effect.getTiming().iterations === Infinity ? a.cancel() : a.finished.catch(() => 0)))`)
	tab.Do(`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))`)
}

func TestPicturesOfEverySizeThemeAndLanguage(t *testing.T) {
	t.Parallel()
	s := server.Start(t, "--limits", "off")
	furnish(t, s)
	langs := map[string]struct{ accept, room, empty string }{
		"en": {"en-GB,en", "paper-lantern", "an-empty-room"},
		"zh": {"zh-CN,zh", "听雨轩", "空山新雨"},
	}
	for lang, l := range langs {
		for _, width := range []int{360, 768, 1440} {
			for _, dark := range []bool{false, true} {
				look := chrome.Look{Width: width, Height: 900, Dark: dark, Lang: l.accept, Touch: width < 500}
				a := visit(t, look)
				for name, page := range map[string]struct{ url, open string }{
					"home":     {s.URL + "/", `0`},
					"room":     {roomURL(s.URL, l.room), `0`},
					"empty":    {roomURL(s.URL, l.empty), `0`},
					"invite":   {roomURL(s.URL, l.room), `document.querySelector('#invite-button').click()`},
					"settings": {roomURL(s.URL, l.room), `document.querySelector('#settings').open = true`},
				} {
					a.Open(page.url)
					if name != "home" {
						connected(a)
					}
					a.Do(page.open)
					settled(a)
					a.Screenshot(fmt.Sprintf("../out/%s-%d-%s-%s.png", name, width, map[bool]string{false: "light", true: "dark"}[dark], lang))
					if wide := chrome.Eval[[]string](a, tooWide); len(wide) > 0 {
						t.Errorf("%s, %d px, dark %v, %s: %q", name, width, dark, lang, wide)
					}
				}
			}
		}
	}
}

func TestPicturesOfTheReadme(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	furnish(t, s)
	images := "../out/readme-"
	if os.Getenv("TEAHOUSE_SCREENSHOTS") == "1" {
		images = "../../docs/images/"
	}
	desktop := chrome.Look{Width: 1200, Height: 900}
	night := chrome.Look{Width: 1200, Height: 900, Dark: true}
	chinese := chrome.Look{Width: 1200, Height: 900, Lang: "zh-CN,zh"}
	phone := chrome.Look{Width: 390, Height: 780, Scale: 2, Touch: true}
	for _, p := range []struct {
		file, room, name string
		look             chrome.Look
	}{
		{"room-light.png", "paper-lantern", "Willow Lamp", desktop},
		{"room-dark.png", "paper-lantern", "Willow Lamp", night},
		{"room-zh.png", "听雨轩", "柳下灯", chinese},
		{"phone.png", "paper-lantern", "Willow Lamp", phone},
	} {
		t.Run(p.file, func(t *testing.T) {
			a := enter(t, s.URL, p.room, p.look)
			if p.look.Touch {
				a.Do(box + `.focus()`)
				a.Type("/name " + p.name)
				a.Click("#chat-message-submit")
			} else {
				say(a, "/name "+p.name)
			}
			a.Until(`document.querySelector('#me b').textContent === %s`, p.name)
			other := enter(t, s.URL, p.room, chrome.Look{Lang: p.look.Lang})
			enter(t, s.URL, p.room, chrome.Look{Lang: p.look.Lang})
			a.Until(`document.querySelector('#people-button').textContent.includes('3')`)
			other.Press("x")
			a.Until(`document.querySelector('#typing').textContent !== ''`)
			a.Do(`document.activeElement.blur()`)
			settled(a)
			a.Screenshot(images + p.file)
		})
	}
	a := visit(t, desktop)
	a.Open(s.URL + "/")
	settled(a)
	a.Screenshot(images + "home.png")
}
