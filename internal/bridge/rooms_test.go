package bridge_test

import (
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/bridge"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

func TestGroupsAreNamedAsTheOriginalDoesOrSafely(t *testing.T) {
	for room, want := range map[string]string{ // by the Python of docs/protocol.md
		"lobby":                          "chat_lobby",
		"Tea-Room_1.":                    "chat_Tea-Room_1.",
		"茶":                              "chat_.047f840127cf783e5173283a49dd3bf8",
		"tea 茶 room":                     "chat_tearoom.2eaa5f1586fd5e9ed3e59fb667b7dfea",
		strings.Repeat("x", 60) + "茶yyy": "chat_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.ac7ac6fa8f721fb0e1991be6bc1113f9",
	} {
		got, ok := bridge.Group(room)
		if !ok || got != want {
			t.Errorf("Group(%q) = %q, %v, want %q", room, got, ok, want)
		}
		if channels.SafeName(got) != got {
			t.Errorf("Django cannot carry %q", got)
		}
	}
}

func TestNoTwoRoomsShareAGroup(t *testing.T) {
	seen := map[string]string{}
	rooms := []string{"茶", "茶 ", "茶馆", "a b", "ab", "a  b", "é", "e", strings.Repeat("a", 64), strings.Repeat("é", 64)}
	for _, room := range rooms {
		g, ok := bridge.Group(room)
		if !ok {
			t.Errorf("%q is not bridged", room)
		}
		if other, taken := seen[g]; taken {
			t.Errorf("%q and %q share %q", room, other, g)
		}
		seen[g] = room
		// A guest may make a room of any name, that of another's group too.
		if twin, legal := bridge.Group(strings.TrimPrefix(g, "chat_")); legal && twin == g && strings.TrimPrefix(g, "chat_") != room {
			t.Errorf("a room takes the group of %q", room)
		}
	}
}

func FuzzGroup(f *testing.F) {
	f.Add("lobby", "茶")
	f.Add("茶", ".13c1c5f3aca5ae9c3a4d1ae8a1a3a0a5")
	f.Fuzz(func(t *testing.T, a, b string) {
		a, errA := chat.RoomSlug(a)
		b, errB := chat.RoomSlug(b)
		if errA != nil || errB != nil || a == b {
			return
		}
		ga, okA := bridge.Group(a)
		gb, okB := bridge.Group(b)
		if okA && okB && ga == gb {
			t.Errorf("%q and %q share %q", a, b, ga)
		}
		if channels.SafeName(ga) != ga {
			t.Errorf("Django cannot carry %q", ga)
		}
	})
}

func TestABadPatternOrNameIsTold(t *testing.T) {
	for _, c := range []struct {
		name    string
		options bridge.Options
		want    string
	}{
		{"a bracket that is open", bridge.Options{Patterns: []string{"[a"}}, "close its brackets"},
		{"a room that cannot be", bridge.Options{Patterns: []string{"a/b"}}, `leave out "/"`},
		{"a room that looks like another's group", bridge.Options{Patterns: []string{"a." + strings.Repeat("0", 32)}}, "choose another name"},
		{"a name that is kept for the server", bridge.Options{Name: "admin"}, "choose another"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := bridge.New(c.options); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
