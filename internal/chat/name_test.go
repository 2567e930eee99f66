package chat

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestNamesArePeoplesOwn(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "Ann", "Ann"},
		{"spaces", "  Ann   Lee\u3000", "Ann Lee"},
		{"full width", "Ａｎｎ", "Ann"},
		{"ligature", "ﬁn", "fin"},
		{"accent", "Ame\u0301lie", "Amélie"},
		{"apostrophe and dot", "J. O'Neil-Smith", "J. O'Neil-Smith"},
		{"Chinese", "静谧白鹭", "静谧白鹭"},
		{"Chinese and Latin", "白鹭Heron", "白鹭Heron"},
		{"Japanese and Latin", "さくらサクラ桜Sakura", "さくらサクラ桜Sakura"},
		{"Korean, Han and Latin", "김철수金Kim", "김철수金Kim"},
		{"Bopomofo and Han", "ㄅㄆ注音", "ㄅㄆ注音"},
		{"Cyrillic", "Анна Каренина", "Анна Каренина"},
		{"Greek and digits", "Αθήνα 2000", "Αθήνα 2000"},
		{"Arabic", "مريم", "مريم"},
		{"Persian with a non-joiner", "علی\u200cرضا", "علی\u200cرضا"},
		{"Hindi", "क्षत्रिय", "क्षत्रिय"},
		{"Vietnamese", "Nguyễn Thị Ánh", "Nguyễn Thị Ánh"},
		{"emoji", "Ann 🍵", "Ann 🍵"},
		{"emoji with a selector", "❤\ufe0f", "❤"},
		{"emoji sequence", "👩\u200d🚀", "👩\u200d🚀"},
		{"32 characters", strings.Repeat("鹭", 32), strings.Repeat("鹭", 32)},
		{"four accents", "x\u0315\u0316\u0317\u0318", "x\u0316\u0317\u0318\u0315"},
		{"holds a reserved word", "adminton", "adminton"},
		{"holds a reserved word in Chinese", "系统工程师", "系统工程师"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := UserName(c.in); err != nil || got != c.want {
				t.Fatalf("UserName(%+q) = %+q, %v; want %+q", c.in, got, err, c.want)
			}
		})
	}
}

func TestNamesThatDeceiveAreRefused(t *testing.T) {
	for _, c := range []struct{ name, in, says string }{
		{"empty", "", "visible"},
		{"space", "\u3000 ", "visible"},
		{"accents alone", "\u0301", "visible"},
		{"invalid UTF-8", "\xff", "UTF-8"},
		{"newline", "a\nb", "control"},
		{"escape", "\x1b]8;;", "control"},
		{"right-to-left override", "abc\u202etxt", "U+202E"},
		{"isolate", "\u2066a", "U+2066"},
		{"zero-width space", "An\u200bn", "U+200B"},
		{"zero-width only", "\u200b\u200d", "U+200B"},
		{"joiner in Latin", "An\u200dn", "U+200D"},
		{"joiner at the end", "👩\u200d", "U+200D"},
		{"soft hyphen", "An\u00adn", "U+00AD"},
		{"Hangul filler", "\u3164", "invisible"},
		{"blank Braille", "\u2800", "invisible"},
		{"private use", "\uf8ff", "U+F8FF"},
		{"noncharacter", "\uffff", "U+FFFF"},
		{"33 characters", strings.Repeat("鹭", 33), "32"},
		{"one that grows under NFKC", strings.Repeat("ﷺ", 3), "32"},
		{"very long", strings.Repeat("a", 1<<20), "32"},
		{"five accents", "x\u0315\u0316\u0317\u0318\u0319", "combining"},
		{"zalgo", "x" + strings.Repeat("\u0315", 100), "combining"},
		{"Cyrillic in Latin", "раураl", "belong together"},
		{"Greek in Latin", "Gοοgle", "belong together"},
		{"Cyrillic and Greek", "Аλ", "one script"},
		{"Hiragana and Hangul", "あ한", "belong together"},
		{"Han and Cyrillic", "茶Д", "belong together"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := UserName(c.in)
			if !errors.Is(err, ErrBadName) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("UserName(%+q) = %+q, %v; want ErrBadName saying %q", c.in, got, err, c.says)
			}
		})
	}
}

func TestReservedNamesAndWhatPassesForThemAreRefused(t *testing.T) {
	for _, name := range []string{
		"admin", "Admin", "ADMIN", " a d m i n ", "ａｄｍｉｎ", "𝐚𝐝𝐦𝐢𝐧", "adm1n", "admín", "Ad-min!", "admın", "adm|n", "@dmin", "🛡️admin🛡️",
		"аdmin", "ӓdmin", "r00t", "ꓣoot", "System", "ѕуѕтем", "5ystem", "systém", "everyone", "Everyone.", "here", "HERE", "all", "a11",
		"tea house", "Teahouse", "ΤΕΑΗΟUSE", "mod", "m0d", "server", "管理员", "系统", "系 统", "所有人", "茶馆", "「管理员」", "moderator", "ⓐⓓⓜⓘⓝ",
	} {
		if got, err := UserName(name); !errors.Is(err, ErrBadName) {
			t.Errorf("UserName(%q) = %q, %v; want ErrBadName", name, got, err)
		}
	}
	for _, name := range reservedNames {
		if !reserved(name) {
			t.Errorf("%q is not reserved", name)
		}
	}
}

func checkName(t interface{ Fatalf(string, ...any) }, s string) {
	name, err := UserName(s)
	if err != nil {
		if name != "" || !errors.Is(err, ErrBadName) {
			t.Fatalf("UserName(%+q) = %+q, %v", s, name, err)
		}
		return
	}
	if again, err := UserName(name); err != nil || again != name {
		t.Fatalf("UserName(%+q) = %+q, and of that %+q, %v", s, name, again, err)
	}
	if n := utf8.RuneCountInString(name); n < 1 || n > MaxName || !norm.NFKC.IsNormalString(name) ||
		strings.TrimSpace(name) != name || strings.ContainsAny(name, "\u200b\u202e\u00ad\n\x00") {
		t.Fatalf("UserName(%+q) = %+q", s, name)
	}
}

func TestANameIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkName(t, spelling().Draw(t, "s")) })
}

func FuzzUserName(f *testing.F) {
	for _, s := range []string{"Ann", "аdmin", "Ａｎｎ", "👩\u200d🚀", "علی\u200cرضا", "ﷺ", "x\u0315\u0316\u0317\u0318\u0319", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkName(t, s) })
}
