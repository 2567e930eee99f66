package chat

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestRoomNamesThatLookTheSameAreOneRoom(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "lobby", "lobby"},
		{"case shows", "Lobby", "Lobby"},
		{"one character", "a", "a"},
		{"punctuation shows", `a.b?c#d%20\<b>`, `a.b?c#d%20\<b>`},
		{"three dots are a name", "...", "..."},
		{"decomposed accent", "cafe\u0301", "café"},
		{"Hangul jamo", "\u1112\u1161\u11ab", "한"},
		{"Kelvin sign", "\u212a", "K"},
		{"spaces around", "  lobby\u3000", "lobby"},
		{"spaces inside", "tea \u2009\u00a0 house", "tea house"},
		{"ideographic space inside", "茶\u3000馆", "茶 馆"},
		{"line separator", "a\u2028b", "a b"},
		{"zero-width space", "lob\u200bby", "lobby"},
		{"zero-width space between spaces", "a \u200b b", "a b"},
		{"soft hyphen", "lob\u00adby", "lobby"},
		{"byte-order mark", "\ufefflobby", "lobby"},
		{"bidi controls", "\u202elobby\u202c\u2066\u2069\u200e", "lobby"},
		{"variation selector", "☕\ufe0f", "☕"},
		{"Hangul filler", "a\u3164b", "ab"},
		{"blank Braille pattern", "a\u2800", "a"},
		{"combining grapheme joiner", "e\u034f\u0301", "é"},
		{"invisible between letter and accent", "e\u200b\u0301", "é"},
		{"emoji sequence keeps its joiners", "👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"},
		{"emoji sequence without its selector", "❤\ufe0f\u200d🔥", "❤\u200d🔥"},
		{"skin tone and joiner", "👩🏽\u200d🚀", "👩🏽\u200d🚀"},
		{"joiner repeated", "👩\u200d\u200d🚀", "👩\u200d🚀"},
		{"joiner at the end", "👩\u200d", "👩"},
		{"joiner at the beginning", "\u200d👩", "👩"},
		{"joiner before a space", "👩\u200d 👧", "👩 👧"},
		{"joiner after a space", "👩 \u200d👧", "👩 👧"},
		{"joiner between Latin letters", "lob\u200dby", "lobby"},
		{"non-joiner between Latin letters", "lob\u200cby", "lobby"},
		{"non-joiner between joining Arabic letters", "می\u200cخواهم", "می\u200cخواهم"},
		{"non-joiner after a letter that never joins", "دا\u200cر", "دار"},
		{"joiner after a virama", "क्\u200dष", "क्\u200dष"},
		{"non-joiner after a virama", "क्\u200cष", "क्\u200cष"},
		{"64 characters", strings.Repeat("茶", 64), strings.Repeat("茶", 64)},
		{"64 characters after NFC", strings.Repeat("e\u0301", 64), strings.Repeat("é", 64)},
		{"64 characters and invisible ones", strings.Repeat("x\u200b", 64), strings.Repeat("x", 64)},
		{"unassigned code point", "\U0001fb00\u0378", "\U0001fb00\u0378"},
		{"replacement character", "\ufffd", "\ufffd"},
		{"eight accents", "x" + strings.Repeat("\u0315", 8), "x" + strings.Repeat("\u0315", 8)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := RoomSlug(c.in)
			if err != nil || got != c.want {
				t.Fatalf("RoomSlug(%+q) = %+q, %v; want %+q", c.in, got, err, c.want)
			}
		})
	}
}

func TestNamesThatAreNoRoomAreRefused(t *testing.T) {
	for _, c := range []struct{ name, in, says string }{
		{"empty", "", "visible"},
		{"space", " ", "visible"},
		{"only invisible", "\u200b\u200d\ufeff\u00ad\u3164\u2800", "visible"},
		{"slash", "a/b", `"/"`},
		{"dot", ".", "addresses"},
		{"dot among invisible", "\u200b. ", "addresses"},
		{"dots", "..", "addresses"},
		{"NUL", "a\x00", "control"},
		{"tab", "a\tb", "control"},
		{"newline at the end", "a\n", "control"},
		{"escape", "\x1b[31m", "control"},
		{"DEL", "a\x7f", "control"},
		{"C1", "a\u0085b", "control"},
		{"invalid UTF-8", "a\xff", "UTF-8"},
		{"surrogate", "\xed\xa0\x80", "UTF-8"},
		{"overlong slash", "\xc0\xaf", "UTF-8"},
		{"noncharacter", "a\ufffe", "U+FFFE"},
		{"noncharacter of the block", "\ufdd0", "U+FDD0"},
		{"last code point", "\U0010ffff", "U+10FFFF"},
		{"private use", "\ue000", "U+E000"},
		{"65 characters", strings.Repeat("茶", 65), "64"},
		{"very long", strings.Repeat("a\u200b", 1000), "64"},
		{"zalgo", "x" + strings.Repeat("\u0315", 9), "combining"},
		{"zalgo among invisible", "x" + strings.Repeat("\u0315\u200b", 9), "combining"},
		{"zalgo longer than a normaliser's buffer", "x" + strings.Repeat("\u0315", 63), "combining"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := RoomSlug(c.in)
			if !errors.Is(err, ErrBadRoom) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("RoomSlug(%+q) = %+q, %v; want ErrBadRoom saying %q", c.in, got, err, c.says)
			}
		})
	}
}

// checkSlug tells what is wrong with the canonical spelling of s.
func checkSlug(t interface{ Fatalf(string, ...any) }, s string) {
	slug, err := RoomSlug(s)
	if err != nil {
		if !errors.Is(err, ErrBadRoom) || slug != "" {
			t.Fatalf("RoomSlug(%+q) = %+q, %v", s, slug, err)
		}
		return
	}
	again, err := RoomSlug(slug)
	if err != nil || again != slug {
		t.Fatalf("RoomSlug(%+q) = %+q, and of that %+q, %v", s, slug, again, err)
	}
	if n := utf8.RuneCountInString(slug); n < 1 || n > MaxRoom || !norm.NFC.IsNormalString(slug) ||
		strings.ContainsAny(slug, "/\u200b\u00ad\ufeff\ufe0f\u202e") || strings.TrimSpace(slug) != slug ||
		strings.Contains(slug, "  ") || strings.IndexFunc(slug, unicode.IsControl) >= 0 {
		t.Fatalf("RoomSlug(%+q) = %+q", s, slug)
	}
	for _, other := range []string{norm.NFD.String(s), " " + s, s + "\u200b", "\ufeff" + s} {
		if len(other) > maxRoomBytes {
			continue
		}
		if same, err := RoomSlug(other); err != nil || same != slug {
			t.Fatalf("RoomSlug(%+q) = %+q, but of %+q it is %+q, %v", s, slug, other, same, err)
		}
	}
}

// spelling draws text full of what the rules are about.
func spelling() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		runes := rapid.SliceOfN(rapid.OneOf(
			rapid.SampledFrom([]rune("ab.1 \u3000\u200b\u200c\u200d\ufe0f\u00ad\u034f\u0301\u0315\u093c\u094d\u0915\u0937"+
				"\u0645\u06cc\u062e\u0627\u062f👩🏽🚀❤🔥茶\u1112\u1161\u11ab\u2800\u3164\u212a\u1100\u11a8")),
			rapid.Rune(),
		), 0, 40).Draw(t, "runes")
		return string(runes)
	})
}

func TestTheCanonicalSpellingOfARoomIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkSlug(t, spelling().Draw(t, "s")) })
}

func FuzzRoomSlug(f *testing.F) {
	for _, s := range []string{"lobby", " cafe\u0301 ", "👩\u200d🚀", "می\u200cخواهم", "क्\u200dष", "\u200b", "../x", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkSlug(t, s) })
}
