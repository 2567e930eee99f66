package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/examples/internal/stage"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var addresses = regexp.MustCompile(`Django +http://(\S+)/chat/lobby/\nGo +http://(\S+)/chat/lobby/\n`)

func TestARoomIsOneConversationOnBothAddresses(t *testing.T) {
	for _, program := range []string{"redis-server", "daphne"} {
		parts.Program(t, program)
	}
	if err := exec.Command("/usr/bin/python3", "-c", "import channels_redis").Run(); err != nil {
		parts.Lacking(t, "channels_redis is not installed")
	}
	t.Setenv("TEAHOUSE_REQUIRE", "") // restored at the end
	if err := os.Unsetenv("TEAHOUSE_REQUIRE"); err != nil {
		t.Fatal(err) // Teahouse takes it for a setting
	}
	pair := stage.Build(t, "django")
	t.Run("Django and Teahouse", func(t *testing.T) { converse(t, pair) })
	t.Run("Django and the chat of the toolkit", func(t *testing.T) { converse(t, pair, "-toolkit") })
}

func converse(t *testing.T, program string, args ...string) {
	p := stage.Start(t, program, args...)
	t.Cleanup(func() { // before it is killed, or those that it started would stay
		if p.Alive() {
			p.Stop()
		}
	})
	var django, teahouse string
	parts.Eventually(t, "both addresses are told", func() bool {
		if told := addresses.FindStringSubmatch(p.Log()); told != nil {
			django, teahouse = told[1], told[2]
		}
		return django != "" || !p.Alive()
	})
	if django == "" {
		t.Fatal("it ended")
	}
	for _, address := range []string{django, teahouse} {
		if status, page := stage.Get(t, "http://"+address+"/chat/lobby/"); status != 200 || !strings.Contains(page, "<html") {
			t.Errorf("the page at %s is %d %.200s", address, status, page)
		}
	}
	for room, path := range map[string]string{"lobby": "/ws/chat/lobby/", "茶馆": "/ws/chat/%E8%8C%B6%E9%A6%86/"} {
		ann, bob := stage.Dial(t, django, path), stage.Dial(t, teahouse, path)
		bob.Meet(ann) // Teahouse hears Django a moment after somebody has entered the room
		ann.SayMessage("from Django")
		ann.HearsMessage("from Django")
		bob.HearsMessage("from Django")
		bob.SayMessage("from Go")
		bob.HearsMessage("from Go")
		ann.HearsMessage("from Go")
		if status, answer := stage.Post(t, "http://"+django+"/chat/"+room+"/say/", "message=by+a+view"); status != 204 {
			t.Errorf("a view that speaks answers %d %.500s", status, answer)
		}
		ann.HearsMessage("by a view")
		bob.HearsMessage("by a view")
	}
	p.Signal(os.Interrupt)
	if err := p.Wait(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestThePageOfDjangoIsThatOfTheGoExample(t *testing.T) {
	ours, err := site.ReadFile("site/room.html")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("../chat/room.html")
	if err != nil {
		t.Fatal(err)
	}
	if string(ours) != string(theirs) {
		t.Error("the two pages differ: they should show that no script has to change")
	}
}
