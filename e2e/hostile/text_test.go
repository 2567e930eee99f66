package hostile_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/wire"
)

// page is a room's page as HTML.
func page(t *testing.T, s *site, room string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(s.URL + "/chat/" + url.PathEscape(room) + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", res.StatusCode, err)
	}
	return string(body)
}

// literal are texts that must come out as they went in, and never as HTML.
var literal = []struct {
	name, text string
	never      []string // in the page
}{
	{"T97 an image that fails", `<img src=x onerror=alert(1)>`, []string{"<img src=x"}},
	{"T98 the end of a script", `</script><script>alert(1)</script>`, []string{"<script>alert", "</script><script>"}},
	{"T98 the end of a text area", `</textarea><b onclick=alert(1)>`, []string{"</textarea><b", "<b onclick"}},
	{"T98 the end of a title", `</title><svg onload=alert(1)>`, []string{"</title><svg", "<svg onload"}},
	{"T98 a comment", `<!--><script>alert(1)</script>`, []string{"<script>alert"}},
	{"T98 a quote and an attribute", `" onmouseover="alert(1)`, []string{`" onmouseover="alert`}},
	{"T98 a template", `{{.}} ${1+1} {{constructor}}`, nil},
	{"T99 a script as a link", `javascript:alert(1)`, []string{`href="javascript:`}},
	{"T99 a script as a link with a tab", "JaVa\tScRiPt:alert(1)", []string{`href="JaVa`}},
	{"T99 data as a link", `data:text/html,<script>alert(1)</script>`, []string{`href="data:`, "<script>alert"}},
	{"T99 an old script as a link", `vbscript:msgbox(1)`, []string{`href="vbscript:`}},
	{"T99 a script behind a link", `https://example.org/javascript:alert(1)`, []string{`href="javascript:`}},
	{"T100 a link that breaks out of quotes", `https://example.org/"onmouseover="alert(1)`, []string{`"onmouseover="`}},
	{"T100 a link that breaks out of its tag", `https://example.org/'><script>alert(1)</script>`, []string{"<script>alert"}},
	{"T100 Markdown", `[x](javascript:alert(1)) ![x](x"onerror="alert(1))`, []string{`href="javascript:`, `"onerror="`}},
	{"U112 SQL", `'; DROP TABLE messages; -- ' OR 1=1 "`, nil},
	{"T103 text that turns around", "abc\u202etxt.exe", nil},
	{"object and property names", `__proto__ constructor toString`, nil},
	{"format verbs", `%s%n%d%x %!v(PANIC=`, nil},
}

func TestTextIsOnlyText(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for i, c := range literal {
		s.row(t, c.name, func(t *testing.T) {
			room := fmt.Sprint("text ", i)
			g := s.in(t, room)
			if err := g.Say("", wire.Post{Room: room, Nonce: "n", Text: c.text}); err != nil {
				t.Fatal(err)
			}
			m, err := guest.Await[wire.MessageFrame](g)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(m.Text, "\u00e9", "e\u0301"); got != c.text { // NFC
				t.Errorf("got %q, want %q", m.Text, c.text)
			}
			html := page(t, s, room)
			for _, never := range c.never {
				if strings.Contains(html, never) {
					t.Errorf("the page has %s", never)
				}
			}
		})
	}
}

func TestRoomsAndNamesAreOnlyText(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for _, hostile := range []string{`<img src=x onerror=alert(1)>`, `"><b onclick=alert(1)>`, `'; DROP TABLE rooms; --`, `{{.}}${x}`} {
		s.row(t, "T97 a room named "+strings.ReplaceAll(hostile, " ", "_"), func(t *testing.T) {
			g := s.in(t, hostile)
			if _, _, err := g.Post(wire.Post{Room: hostile, Nonce: "n", Text: "in a strange room"}); err != nil {
				t.Fatal(err)
			}
			for _, html := range []string{page(t, s, hostile), home(t, s)} {
				if strings.Contains(html, "<img src=x") || strings.Contains(html, "<b onclick") {
					t.Errorf("the page has %s", hostile)
				}
			}
		})
	}
	s.row(t, "T97 a person named as HTML", func(t *testing.T) {
		g := s.in(t, "named")
		const name = `<b onclick=alert(1)>`
		if err := g.Say("", wire.Rename{Name: name}); err != nil {
			t.Fatal(err)
		}
		renamed, err := guest.Await[wire.Renamed](g)
		if err != nil || renamed.Person.Name != name {
			t.Fatalf("got %+v, %v", renamed, err)
		}
		if _, _, err := g.Post(wire.Post{Room: "named", Nonce: "n", Text: "hi"}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(page(t, s, "named"), "<b onclick") {
			t.Error("the page has the name as HTML")
		}
	})
}

func home(t *testing.T, s *site) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestTextsThatAreRefused(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for _, c := range []struct{ name, text, want string }{
		{"T101 8,001 characters", strings.Repeat("茶", 8001), "too_long"},
		{"T104 zero width only", "\u200b\u200d\ufeff\u2060", "empty"},
		{"T104 marks without a letter", "\u034f\u061c", "empty"},
		{"T104 white space only", " \t\n\u3000\u00a0", "empty"},
		{"T104 nothing", "", "empty"},
		{"T104 only controls", "\x01\x1b\x7f", "empty"},
	} {
		s.row(t, c.name, func(t *testing.T) {
			g := s.in(t, "refused")
			wantError(t, g, string(wire.Encode(wire.Post{Room: "refused", Nonce: "n", Text: c.text})), c.want)
		})
	}
	s.row(t, "T101 8,000 characters are fine", func(t *testing.T) {
		g := s.in(t, "long")
		if _, _, err := g.Post(wire.Post{Room: "long", Nonce: "n", Text: strings.Repeat("茶", 8000)}); err != nil {
			t.Error(err)
		}
	})
	s.row(t, "T102 a letter under 1,000 marks is kept, and the others go on", func(t *testing.T) {
		g := s.in(t, "marks")
		// The server's normal form may break long runs of marks (UAX #15,
		// section 13); how tall it looks is for the page to contain.
		if _, _, err := g.Post(wire.Post{Room: "marks", Nonce: "n", Text: "e" + strings.Repeat("\u0301\u0316", 500)}); err != nil {
			t.Fatal(err)
		}
		_ = page(t, s, "marks")
	})
	s.row(t, "T107 escapes for terminals in a message are gone", func(t *testing.T) {
		g := s.in(t, "escapes")
		err := g.Say("", wire.Post{Room: "escapes", Nonce: "n", Text: "a\x1b[31mred\x1b]8;;http://evil.example\x07link\r\nnext\u009b"})
		if err != nil {
			t.Fatal(err)
		}
		m, err := guest.Await[wire.MessageFrame](g)
		if want := "a[31mred]8;;http://evil.examplelink\nnext"; err != nil || m.Text != want {
			t.Errorf("got %q, %v; want %q", m.Text, err, want)
		}
	})
}

func TestNamesThatAreRefused(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for _, c := range []struct{ name, nick string }{
		{"T103 one that turns around", "abc\u202ecba"},
		{"T103 one that isolates", "abc\u2066cba"},
		{"T104 zero width only", "\u200b\u200c"},
		{"T104 one with a zero-width space inside", "ad\u200bmin"},
		{"T104 nothing", ""},
		{"T105 a Cyrillic letter in admin", "\u0430dmin"},
		{"T105 paypal in Cyrillic and Latin", "\u0440\u0430\u0443\u0440\u0430l"},
		{"T105 admin in letters of mathematics", "\U0001d41a\U0001d41d\U0001d426\U0001d422\U0001d427"},
		{"T106 system", "system"}, {"T106 System with spaces", "  System "},
		{"T106 everyone", "everyone"}, {"T106 here", "here"}, {"T106 admin", "Admin"},
		{"T107 a new line", "a\nb"}, {"T107 a carriage return", "a\rb"},
		{"T107 ANSI", "a\x1b[31mb"}, {"T107 a C1 control", "a\u009bb"},
		{"T102 a letter under many marks", "e" + strings.Repeat("\u0316", 20)},
		{"33 characters", strings.Repeat("茶", 33)},
		{"60,000 characters", strings.Repeat("a", 60_000)},
	} {
		s.row(t, c.name, func(t *testing.T) {
			g := s.enter(t)
			wantError(t, g, string(wire.Encode(wire.Rename{Name: c.nick})), "bad_name")
		})
	}
}

func TestSpellingsThatLookTheSameAreOneRoom(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for name, c := range map[string]struct{ one, other, want string }{
		"composed or not":         {"caf\u00e9", "cafe\u0301", "caf\u00e9"},
		"with an invisible space": {"tea", "t\u200bea", "tea"},
		"with spaces around":      {"a b", "  a   b ", "a b"},
		"Hangul composed or not":  {"\ud55c\uad6d", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "\ud55c\uad6d"},
	} {
		s.row(t, name, func(t *testing.T) {
			g, other := s.enter(t), s.enter(t)
			joined, _, err := g.Join(wire.Join{Room: c.one})
			if err != nil {
				t.Fatal(err)
			}
			also, _, err := other.Join(wire.Join{Room: c.other})
			if err != nil || joined.Room != c.want || also.Room != c.want {
				t.Fatalf("rooms %q and %q, %v; want %q", joined.Room, also.Room, err, c.want)
			}
			if _, _, err := g.Post(wire.Post{Room: c.one, Nonce: "n", Text: "hi"}); err != nil {
				t.Fatal(err)
			}
			if m, err := guest.Await[wire.MessageFrame](other); err != nil || m.Room != c.want {
				t.Errorf("got %+v, %v", m, err)
			}
		})
	}
}
