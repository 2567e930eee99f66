package chat

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGuestNamesAreManyGoodAndTheSameForOneID(t *testing.T) {
	for _, locale := range []string{"en", "zh-Hans-CN"} {
		counts := make(map[string]int)
		const ids = 40_000
		for id := range UserID(ids) {
			name := GuestName(id, locale)
			counts[name]++
			if counts[name] > 1 {
				continue
			}
			if kept, err := UserName(name); err != nil || kept != name {
				t.Fatalf("%s: %q is no name: %q %v", locale, name, kept, err)
			}
			if GuestName(id, locale) != name {
				t.Fatalf("%s: %v has two names", locale, id)
			}
		}
		if len(counts) != 64*64 {
			t.Errorf("%s: %d names, want 4,096: is a word there twice?", locale, len(counts))
		}
		for name, n := range counts {
			if n > 5*ids/(64*64) {
				t.Errorf("%s: %q came %d times", locale, name, n)
			}
		}
	}
}

func TestGuestNamesAreInTheLanguageOfThePage(t *testing.T) {
	english, chinese := GuestName(7, "en"), GuestName(7, "zh")
	for locale, want := range map[string]string{
		"": english, "en-GB": english, "fr": english, "zha": english, "x-zh": english,
		"zh-CN": chinese, "zh_TW": chinese, "ZH-hant": chinese,
	} {
		if got := GuestName(7, locale); got != want {
			t.Errorf("%q: %q, want %q", locale, got, want)
		}
	}
}

func TestUserIDsHaveOneSpelling(t *testing.T) {
	for id, want := range map[UserID]string{
		0: "0000000000000", 1: "0000000000001", 31: "000000000000z", 32: "0000000000010",
		math.MaxInt64: "7zzzzzzzzzzzz", -1: "fzzzzzzzzzzzz", math.MinInt64: "8000000000000",
	} {
		if got := id.String(); got != want {
			t.Errorf("%d: %q, want %q", int64(id), got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		id := UserID(rapid.Int64().Draw(t, "id"))
		if back, err := ParseUserID(id.String()); err != nil || back != id {
			t.Fatalf("%d: %q is read as %d, %v", int64(id), id, int64(back), err)
		}
	})
	for _, bad := range []string{
		"", "1", "00000000000000", "g000000000000", "000000000000O", "000000000000o", "000000000000A",
		"000000000000l", "00000000000-1", "+000000000001", "000000000000\u0660",
	} {
		if id, err := ParseUserID(bad); err == nil {
			t.Errorf("%q is read as %d", bad, int64(id))
		}
	}
}

func FuzzParseUserID(f *testing.F) {
	f.Add("0000000000001")
	f.Add("fzzzzzzzzzzzz")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseUserID(s); err == nil && id.String() != s {
			t.Fatalf("%q is read as %q", s, id)
		}
	})
}

func TestTagsOfSimilarIDsDiffer(t *testing.T) {
	tags := make(map[string]bool)
	for id := range UserID(1000) {
		tag := id.Tag()
		if len(tag) != 4 || strings.Trim(tag, crockford) != "" {
			t.Fatalf("tag %q", tag)
		}
		tags[tag] = true
	}
	if len(tags) < 990 { // of 2^20 possible ones
		t.Errorf("1,000 ids have %d tags", len(tags))
	}
}

func TestNewUserIDsArePositiveAndDiffer(t *testing.T) {
	seen := make(map[UserID]bool)
	for range 1000 {
		id := NewUserID()
		if id <= 0 || seen[id] {
			t.Fatalf("id %d", id)
		}
		seen[id] = true
	}
}

func TestBridgedPeopleCannotBeTakenForGuests(t *testing.T) {
	one, other := BridgedID("django", "Ann"), BridgedID("django", "Bob")
	if one == other || one != BridgedID("django", "Ann") || one == BridgedID("other", "Ann") {
		t.Errorf("ids %v and %v", one, other)
	}
	for _, id := range []UserID{one, other} {
		if back, err := ParseUserID(id.String()); err != nil || back != id {
			t.Errorf("%v is read as %v, %v", id, back, err)
		}
		if tag := id.Tag(); !id.Bridged() || len(tag) != 4 || !strings.HasPrefix(tag, "via") {
			t.Errorf("bridged %v, tag %q", id.Bridged(), tag)
		}
	}
	if NewUserID().Bridged() || strings.Contains(crockford, "i") {
		t.Error("a guest can have what marks the bridged")
	}
}
