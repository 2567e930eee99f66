package markup_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/markup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func readVectors(t *testing.T, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestSegmentsAsInTheSharedVectors(t *testing.T) {
	var vectors []struct {
		Name, Text string
		Segments   [][]string
	}
	readVectors(t, "testdata/links.json", &vectors)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			var want []markup.Segment
			for _, s := range v.Segments {
				if len(s) == 2 {
					want = append(want, markup.Segment{Text: s[1], URL: s[1]})
				} else {
					want = append(want, markup.Segment{Text: s[0]})
				}
			}
			if diff := cmp.Diff(want, markup.Segments(v.Text)); diff != "" {
				t.Errorf("Segments(%q) (-want +got):\n%s", v.Text, diff)
			}
		})
	}
}

func TestAnOverlongAddressIsLeftAsText(t *testing.T) {
	text := "https://example.org/" + strings.Repeat("a", markup.MaxURL)
	for _, s := range markup.Segments(text) {
		if s.URL != "" {
			t.Errorf("an address of %d bytes became a link", len(s.URL))
		}
	}
}

func TestPeopleAsInTheSharedVectors(t *testing.T) {
	var vectors []struct {
		ID, Name, Seal string
		Hue            int
	}
	readVectors(t, "testdata/people.json", &vectors)
	for _, v := range vectors {
		if got := markup.Hue(v.ID); got != v.Hue {
			t.Errorf("Hue(%q) = %d, want %d", v.ID, got, v.Hue)
		}
		if got := markup.Seal(v.Name); got != v.Seal {
			t.Errorf("Seal(%q) = %q, want %q", v.Name, got, v.Seal)
		}
	}
}

func FuzzSegments(f *testing.F) {
	for _, s := range []string{"", "https://a.b/c", "看https://茶.example）。", "http://http://http://", "https://[", "(https://a/))"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var whole strings.Builder
		for _, s := range markup.Segments(text) {
			whole.WriteString(s.Text)
			if s.Text == "" {
				t.Error("an empty segment")
			}
			if s.URL == "" {
				continue
			}
			lower := strings.ToLower(s.URL)
			if s.URL != s.Text || !strings.HasPrefix(lower, "http://") && !strings.HasPrefix(lower, "https://") {
				t.Errorf("link %q for %q", s.URL, s.Text)
			}
			if strings.ContainsAny(s.URL, " \n\"<>") || !utf8.ValidString(s.URL) {
				t.Errorf("link with a character that ends links: %q", s.URL)
			}
		}
		if whole.String() != text {
			t.Errorf("the segments make %q of %q", whole.String(), text)
		}
	})
}

func ExampleSegments() {
	for _, s := range markup.Segments("The menu (https://example.org/tea) is here.") {
		fmt.Printf("%q %q\n", s.Text, s.URL)
	}
	// Output:
	// "The menu (" ""
	// "https://example.org/tea" "https://example.org/tea"
	// ") is here." ""
}
