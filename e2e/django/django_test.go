package django_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/wire"
)

// eachFormat runs a test in both formats.
func eachFormat(t *testing.T, test func(t *testing.T, format int)) {
	for i, f := range formats {
		t.Run(f.name, func(t *testing.T) { test(t, i) })
	}
}

func TestARoomAndADjangoGroupAreOneConversation(t *testing.T) {
	eachFormat(t, func(t *testing.T, format int) {
		s := open(t, format, "--django-rooms", "lobby,茶")
		s.follows(s.admin, 2)
		for _, room := range []string{"lobby", "茶"} {
			ann := enter(t, s.tea, room)
			plain, django := page(t, s.tea.Address, room), page(t, s.django, room)
			if err := ann.Say("", wire.Typing{Room: room}); err != nil { // no business of Django's
				t.Fatal(err)
			}
			say(t, ann, room, "good morning <b>")
			shows(t, "a Django page", django, "good morning <b>")
			shows(t, "a plain page", plain, "good morning <b>")

			if err := django.SendText(`{"message": "hello \u8336"}`); err != nil {
				t.Fatal(err)
			}
			m := next(t, ann)
			if m.Text != "hello 茶" || m.Author.Name != "Django" || !strings.HasPrefix(m.Author.Tag, "via") || m.Seq != 2 {
				t.Errorf("from Django came %+v", m)
			}
			shows(t, "a Django page", django, "hello 茶")
			shows(t, "a plain page", plain, "hello 茶")

			s.send(room, map[string]any{"type": "chat.message", "message": "by the site", "username": "Bob"})
			if m := next(t, ann); m.Text != "by the site" || m.Author.Name != "Django" {
				t.Errorf("from Django came %+v, whose usernames are not trusted", m)
			}
			shows(t, "a Django page", django, "by the site")

			// Had anything come twice or back, it would be shown before this.
			say(t, ann, room, "the end")
			shows(t, "a Django page", django, "the end")
			shows(t, "a plain page", plain, "by the site", "the end")
			you := ann.Welcome.You.Name
			want := []string{you + ": good morning <b>", "Django: hello 茶", "Django: by the site", you + ": the end"}
			if diff := cmp.Diff(want, log(t, s.tea, room)); diff != "" {
				t.Errorf("the log (-want +got)\n%s", diff)
			}
		}
		metrics := get(t, "http://"+s.admin+"/metrics")
		for _, want := range []string{
			`teahouse_bridge_messages_total{direction="in"} 4`, `teahouse_bridge_messages_total{direction="out"} 4`,
			`teahouse_bridge_refused_total{cause="rule"} 0`, `teahouse_bridge_unsent_total 0`, `teahouse_bridge_leading 1`,
			`teahouse_layer_connected{host="` + s.redis.URL() + `"} 1`, `teahouse_layer_unsent_total{cause="failed"} 0`,
		} {
			if !strings.Contains(metrics, "\n"+want+"\n") {
				t.Errorf("the metrics lack %s", want)
			}
		}
		s.quiet()
	})
}

func TestAPatternSharesRoomsThatPeopleEnterAndTrustedUsernamesAreAuthors(t *testing.T) {
	eachFormat(t, func(t *testing.T, format int) {
		s := open(t, format, "--django-rooms", "tea-*", "--django-usernames", "on", "--django-name", "The site")
		s.follows(s.admin, 0)
		ann := enter(t, s.tea, "tea-1", "coffee")
		s.follows(s.admin, 1)
		s.send("coffee", map[string]any{"type": "chat.message", "message": "not shared"})
		s.send("tea-1", map[string]any{"type": "chat.message", "message": "one", "username": "Bob"})
		s.send("tea-1", map[string]any{"type": "chat.message", "message": "two", "username": "admin"})
		for _, want := range []string{"Bob: one", "The site: two"} {
			if m := next(t, ann); m.Author.Name+": "+m.Text != want || !strings.HasPrefix(m.Author.Tag, "via") {
				t.Errorf("got %+v, want %s", m, want)
			}
		}
		if got := log(t, s.tea, "coffee"); got != nil {
			t.Errorf("a room that is not shared has %q", got)
		}
		s.quiet()
	})
}

func TestAFloodFromDjangoIsInTheLogInOrder(t *testing.T) {
	eachFormat(t, func(t *testing.T, format int) {
		s := open(t, format, "--django-rooms", "lobby", "--limits", "off")
		s.follows(s.admin, 1)
		django := page(t, s.django, "lobby")
		const messages = 300
		var want []string
		for i := range messages {
			if err := django.SendText(fmt.Sprintf(`{"message": "%d"}`, i)); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("Django: %d", i))
		}
		for range messages {
			shown(t, django)
		}
		parts.Eventually(t, "all is in the log", func() bool { return len(log(t, s.tea, "lobby")) >= messages })
		if diff := cmp.Diff(want, log(t, s.tea, "lobby")); diff != "" {
			t.Errorf("the log (-want +got)\n%s", diff)
		}
		s.quiet()
	})
}

func TestServersWithLogsOfTheirOwnHearDjangoOnceEachAndNotEachOther(t *testing.T) {
	eachFormat(t, func(t *testing.T, format int) {
		s := open(t, format, "--django-rooms", "lobby")
		second, admin := s.serve("--django-rooms", "lobby")
		s.follows(s.admin, 1)
		s.follows(admin, 1)
		ann, bob := enter(t, s.tea, "lobby"), enter(t, second, "lobby")
		django := page(t, s.django, "lobby")
		say(t, ann, "lobby", "from the first")
		say(t, bob, "lobby", "from the second")
		s.send("lobby", map[string]any{"type": "chat.message", "message": "from Django"})
		next(t, ann)
		next(t, bob)
		first, second1 := ann.Welcome.You.Name, bob.Welcome.You.Name
		if diff := cmp.Diff([]string{first + ": from the first", "Django: from Django"}, log(t, s.tea, "lobby")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{second1 + ": from the second", "Django: from Django"}, log(t, second, "lobby")); diff != "" {
			t.Error(diff)
		}
		got := map[string]int{shown(t, django): 1, shown(t, django): 1, shown(t, django): 1}
		if len(got) != 3 {
			t.Errorf("Django shows %v", got)
		}
		s.quiet()
	})
}

func TestPeopleDoNotNoticeThatRedisIsGone(t *testing.T) {
	eachFormat(t, func(t *testing.T, format int) {
		s := open(t, format, "--django-rooms", "lobby")
		s.follows(s.admin, 1)
		ann := enter(t, s.tea, "lobby")
		s.redis.Kill()
		parts.Eventually(t, "the loss is seen", func() bool {
			return strings.Contains(get(t, s.tea.URL+"/readyz"), "Redis cannot be reached")
		})
		bob := enter(t, s.tea, "lobby", "another")
		for i := range 5 {
			say(t, ann, "lobby", fmt.Sprint("without Redis ", i))
			next(t, bob)
		}
		if res, err := client.Get(s.tea.URL + "/readyz"); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("readiness is %v, %v", res.Status, err)
		} else {
			_ = res.Body.Close()
		}
		s.redis.Restart()
		parts.Eventually(t, "it is connected again", func() bool { return get(t, s.tea.URL+"/readyz") == "ready\n" })
		s.follows(s.admin, 1)
		django := page(t, s.django, "lobby")
		say(t, ann, "lobby", "with Redis again")
		shows(t, "a Django page", django, "with Redis again")
		parts.Eventually(t, "Django is heard again", func() bool {
			s.send("lobby", map[string]any{"type": "chat.message", "message": "still there?"})
			lines := log(t, s.tea, "lobby")
			return lines[len(lines)-1] == "Django: still there?"
		})
	})
}

func TestAServerStartsAndStopsWhileRedisIsGoneOrHangs(t *testing.T) {
	eachFormat(t, func(t *testing.T, format int) {
		s := &site{t: t, redis: parts.Redis(t, parts.RedisOptions{})}
		s.layer = formats[format].scheme + strings.TrimPrefix(s.redis.URL(), "redis")
		s.redis.Kill()
		tea, admin := s.serve("--django-rooms", "lobby")
		say(t, enter(t, tea, "lobby"), "lobby", "without Redis")
		s.redis.Restart()
		s.follows(admin, 1)
		parts.Eventually(t, "it is connected", func() bool { return get(t, tea.URL+"/readyz") == "ready\n" })
		begin := time.Now()
		s.redis.Signal(syscall.SIGSTOP)
		defer s.redis.Signal(syscall.SIGCONT)
		ann := enter(t, tea, "lobby")
		say(t, ann, "lobby", "Redis hangs")
		// A room that nobody is in yet has to be followed first.
		bob := enter(t, tea, "elsewhere")
		say(t, bob, "elsewhere", "Redis hangs here too")
		t.Logf("all was said %v after Redis had stopped", time.Since(begin))
		leave(t, ann, bob)
		begin = time.Now()
		tea.Stop()
		t.Logf("it took %v to stop", time.Since(begin))
	})
}

func TestTheNextServerTakesOverFromOneThatWasKilled(t *testing.T) {
	eachFormat(t, func(t *testing.T, format int) {
		s := open(t, format, "--django-rooms", "lobby")
		s.follows(s.admin, 1)
		s.tea.Kill()
		s.tea.Restart()
		s.follows(s.admin, 1)
		s.send("lobby", map[string]any{"type": "chat.message", "message": "once"})
		parts.Eventually(t, "the message is in the log", func() bool { return len(log(t, s.tea, "lobby")) > 0 })
		s.send("lobby", map[string]any{"type": "chat.message", "message": "the end"})
		parts.Eventually(t, "the end is in the log", func() bool { return len(log(t, s.tea, "lobby")) > 1 })
		if diff := cmp.Diff([]string{"Django: once", "Django: the end"}, log(t, s.tea, "lobby")); diff != "" {
			t.Error(diff)
		}
	})
}
