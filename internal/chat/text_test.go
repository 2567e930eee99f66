package chat

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestTextIsCleanedAndOtherwiseKept(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "hi", "hi"},
		{"markup", "<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"},
		{"line ends", "a\r\nb\rc\nd", "a\nb\nc\nd"},
		{"tab and indentation", "\tx\n  y", "\tx\n  y"},
		{"controls", "\x1b[31mred\x07\x7f\u0085\u009b1", "[31mred1"},
		{"control between letter and accent", "e\x01\u0301", "é"},
		{"decomposed", "e\u0301", "é"},
		{"white space at the end", "hi \n\u3000\t", "hi"},
		{"bidi controls", "\u202eabc", "\u202eabc"},
		{"emoji", "👩\u200d🚀❤\ufe0f", "👩\u200d🚀❤\ufe0f"},
		{"8,000 characters", strings.Repeat("𠀀", MaxText), strings.Repeat("𠀀", MaxText)},
		{"8,000 characters and a newline", strings.Repeat("x", MaxText) + "\n", strings.Repeat("x", MaxText)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := CleanText(c.in); err != nil || got != c.want {
				t.Fatalf("CleanText(%+q) = %+q, %v; want %+q", c.in, got, err, c.want)
			}
		})
	}
}

func TestTextThatIsNoneIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrEmpty},
		{"white space", " \t\r\n\u3000", ErrEmpty},
		{"controls only", "\x01\x1b", ErrEmpty},
		{"zero-width only", "\u200b\u200d\u2060\ufeff\u00ad", ErrEmpty},
		{"blank signs only", "\u3164\u2800\u115f \u034f", ErrEmpty},
		{"NUL", "a\x00b", ErrBadText},
		{"invalid UTF-8", "a\xc0\x80", ErrBadText},
		{"surrogate", "\xed\xa0\x80", ErrBadText},
		{"8,001 characters", strings.Repeat("x", MaxText+1), ErrTooLong},
		{"8,001 wide characters", strings.Repeat("𠀀", MaxText+1), ErrTooLong},
		{"100 MB of one emoji", strings.Repeat("👩\u200d", 100<<20/7), ErrTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := CleanText(c.in); !errors.Is(err, c.want) || got != "" {
				t.Fatalf("CleanText = %d bytes, %v; want %v", len(got), err, c.want)
			}
		})
	}
}

func checkText(t interface{ Fatalf(string, ...any) }, s string) {
	text, err := CleanText(s)
	if err != nil {
		if text != "" || !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrBadText) && !errors.Is(err, ErrTooLong) {
			t.Fatalf("CleanText(%+q) = %+q, %v", s, text, err)
		}
		return
	}
	if again, err := CleanText(text); err != nil || again != text {
		t.Fatalf("CleanText(%+q) = %+q, and of that %+q, %v", s, text, again, err)
	}
	if !utf8.ValidString(text) || !norm.NFC.IsNormalString(text) || strings.ContainsAny(text, "\r\x00\x1b\u0085") {
		t.Fatalf("CleanText(%+q) = %+q", s, text)
	}
}

func TestCleanTextIsClean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkText(t, spelling().Draw(t, "s")) })
}

func FuzzCleanText(f *testing.F) {
	for _, s := range []string{"hi", "a\r\nb", "e\x01\u0301", "x" + strings.Repeat("\u0315", 100), "\xff", "\u200b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkText(t, s) })
}

func TestNonces(t *testing.T) {
	for _, good := range []string{"n", " ", strings.Repeat("茶", MaxNonce), "{}<>", "\u200b"} {
		if err := checkNonce(good); err != nil {
			t.Errorf("%+q: %v", good, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("x", MaxNonce+1), "a\n", "\x00", "\u0085", "\xff", strings.Repeat("x", 1<<20)} {
		if err := checkNonce(bad); !errors.Is(err, ErrBadNonce) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}
