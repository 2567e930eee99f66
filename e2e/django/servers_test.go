package django_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// several opens a site with two servers that have one log: the one that listens
// to Django, and another.
func several(t *testing.T, format int) (s *site, leader, other *server.Server, adminOfOther string) {
	t.Helper()
	flags := []string{"--django-rooms", "tea-*", "--store", parts.Postgres(t).URL("postgres")}
	s = open(t, format, flags...)
	parts.Eventually(t, "the first listens to Django", func() bool { return leads(t, s.admin) })
	other, adminOfOther = s.serve(flags...)
	return s, s.tea, other, adminOfOther
}

func leads(t *testing.T, admin string) bool {
	t.Helper()
	return strings.Contains(get(t, "http://"+admin+"/metrics"), "\nteahouse_bridge_leading 1\n")
}

func TestServersWithOneLogAreOneSideOfTheConversation(t *testing.T) {
	eachFormat(t, func(t *testing.T, format int) {
		s, leader, other, _ := several(t, format)
		ann := enter(t, other, "tea-1") // a room that is in no log, and where nobody is on the one that listens
		s.follows(s.admin, 1)
		s.send("tea-1", map[string]any{"type": "chat.message", "message": "from Django"})
		if m := next(t, ann); m.Text != "from Django" || m.Seq != 1 {
			t.Errorf("got %+v", m)
		}
		django, bob := page(t, s.django, "tea-1"), enter(t, leader, "tea-1")
		say(t, ann, "tea-1", "stored by the other")
		if m := next(t, bob); m.Text != "stored by the other" {
			t.Errorf("got %+v", m)
		}
		shows(t, "a Django page", django, "stored by the other")
		say(t, bob, "tea-1", "stored by the one that listens")
		shows(t, "a Django page", django, "stored by the one that listens")
		next(t, ann)
		say(t, ann, "tea-1", "the end") // nothing came twice before it
		shows(t, "a Django page", django, "the end")
		first, second := ann.Welcome.You.Name, bob.Welcome.You.Name
		want := []string{
			"Django: from Django", first + ": stored by the other",
			second + ": stored by the one that listens", first + ": the end",
		}
		for _, tea := range []*server.Server{leader, other} {
			if diff := cmp.Diff(want, log(t, tea, "tea-1")); diff != "" {
				t.Errorf("the log (-want +got)\n%s", diff)
			}
		}
		s.quiet()
	})
}

// What waits in the connection of a server that stands still for longer than its
// lease, the next one may have heard and stored.
func TestAServerThatStoodStillStoresNothingTwice(t *testing.T) {
	eachFormat(t, func(t *testing.T, format int) {
		s, leader, other, admin := several(t, format)
		enter(t, other, "tea-1")
		s.follows(s.admin, 1)
		sent := 0
		send := func() {
			s.send("tea-1", map[string]any{"type": "chat.message", "message": fmt.Sprint(sent)})
			sent++
		}
		signal := func(sig syscall.Signal) {
			if err := syscall.Kill(leader.PID(), sig); err != nil {
				t.Fatal(err)
			}
		}
		signal(syscall.SIGSTOP)
		parts.Eventually(t, "the other one listens to Django", func() bool {
			send()
			time.Sleep(20 * time.Millisecond)
			return leads(t, admin)
		})
		s.follows(admin, 1)
		took := sent
		for range 30 {
			send()
		}
		signal(syscall.SIGCONT)
		parts.Eventually(t, "the first knows that it does not any more", func() bool { return !leads(t, s.admin) })
		s.send("tea-1", map[string]any{"type": "chat.message", "message": "the end"})
		var stored []string
		parts.Eventually(t, "the end is in the log", func() bool {
			stored = log(t, leader, "tea-1")
			return slices.Contains(stored, "Django: the end")
		})
		for i := range sent {
			n := 0
			for _, line := range stored {
				if line == fmt.Sprintf("Django: %d", i) {
					n++
				}
			}
			if n > 1 || n == 0 && i >= took {
				t.Errorf("message %d of %d is in the log %d times; another listened since %d", i, sent, n, took)
			}
		}
		if text := s.daphne.Log(); strings.Contains(text, "Traceback") { // that a channel is full is no wonder
			t.Errorf("Django failed:\n%s", text)
		}
	})
}
