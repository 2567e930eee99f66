package peer

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newWorkshop builds p or skips the test where something is not installed.
func newWorkshop(t *testing.T, p Peer) *Workshop {
	t.Helper()
	w, err := NewWorkshop("..")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	err = p.Build(t.Context(), w)
	if errors.Is(err, ErrMissing) && os.Getenv("TEAHOUSE_REQUIRE_BENCH") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestEveryPeerDeliversEveryTextToEverybodyInOrder(t *testing.T) {
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			w := newWorkshop(t, p)
			s, err := p.Start(t.Context(), w, -1)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
			}()
			plan := load.Default(load.Fanout)
			plan.Protocol, plan.Address, plan.PID = p.Protocol, s.Address, s.PID
			plan.Rooms, plan.Members, plan.Posters, plan.Window = 3, 5, 2, 4
			plan.Size, plan.Warm, plan.For, plan.Shared = 300, 50*time.Millisecond, 300*time.Millisecond, true
			result, err := load.Run(t.Context(), plan)
			if err != nil {
				t.Fatalf("%v; the server says: %s", err, s.Words())
			}
			for _, problem := range result.Problems {
				if !bytes.Contains([]byte(problem), []byte("bottleneck")) {
					t.Error(problem)
				}
			}
			if result.Deliveries == 0 {
				t.Errorf("no deliveries: %+v", result)
			}
			if p.Version(t.Context(), w) == "version unknown" {
				t.Error("its version is unknown")
			}
		})
	}
}

func TestAMissingProgramIsSaidWithItsPackage(t *testing.T) {
	p := Limit(RunBytes)
	p.needs = []need{{"no-such-program", "no-such-package"}}
	err := p.Build(t.Context(), &Workshop{Module: "..", Dir: t.TempDir()})
	if !errors.Is(err, ErrMissing) || err.Error() != "limit needs the Debian package no-such-package: not installed" {
		t.Errorf("got %v", err)
	}
}

func TestAServerThatEndsAtOnceIsAnErrorWithItsWords(t *testing.T) {
	p := Peer{Name: "broken", command: func(*Workshop, string, string) []string {
		return []string{"sh", "-c", "echo no luck today >&2; exit 3"}
	}}
	dir := t.TempDir()
	_, err := p.Start(t.Context(), &Workshop{Module: "..", Dir: dir}, -1)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("it ended at once: no luck today")) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("it left %q", left)
	}
}

func TestAStoppedServerIsGone(t *testing.T) {
	p, err := Find(Loop)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkshop(t, p)
	s, err := p.Start(t.Context(), w, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s.Gone() {
		t.Error("it is gone before it was stopped")
	}
	answer, err := http.Get("http://" + s.Address.String() + "/ws/x")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a request that is no handshake is answered with %d", answer.StatusCode)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if !s.Gone() {
		t.Error("it is still there")
	}
}

func TestFramesOfPeersMeanWhatTheySay(t *testing.T) {
	m := &load.Member{Room: "r1", ID: 7}
	text := func(s string) load.Delivery { return load.Delivery{Text: []byte(s)} }
	for name, tt := range map[string]struct {
		protocol load.Protocol
		frame    string
		want     load.Seen
	}{
		"chat, joined":              {Chat{"x"}, `{"joined"}`, load.Seen{Joined: true}},
		"chat, two in a frame":      {Chat{"x"}, "{\"message\":\"~a\"}\n{\"message\":\"~b\"}", load.Seen{Deliveries: []load.Delivery{text("~a"), text("~b")}}},
		"channels":                  {Channels{}, `{"message": "~a"}`, load.Seen{Deliveries: []load.Delivery{text("~a")}}},
		"centrifuge, connected":     {Centrifuge{}, `{"id":1,"connect":{"client":"~"}}`, load.Seen{}},
		"centrifuge, joined":        {Centrifuge{}, `{"id":2,"subscribe":{}}`, load.Seen{Joined: true}},
		"centrifuge, ping":          {Centrifuge{}, `{}`, load.Seen{Reply: []byte(`{}`)}},
		"centrifuge, push and ping": {Centrifuge{}, "{\"push\":{\"channel\":\"r1\",\"pub\":{\"data\":\"~a\"}}}\n{}", load.Seen{Deliveries: []load.Delivery{text("~a")}, Reply: []byte(`{}`)}},
		"centrifuge, published":     {Centrifuge{}, `{"id":3,"publish":{}}`, load.Seen{}},
		"centrifuge, refused":       {Centrifuge{}, `{"id":3,"error":{"code":103}}`, load.Seen{Refused: `{"id":3,"error":{"code":103}}`}},
		"socket.io, open":           {SocketIO{}, `0{"sid":"~"}`, load.Seen{}},
		"socket.io, connected":      {SocketIO{}, `40{"sid":"~"}`, load.Seen{Reply: []byte(`42["join","r1"]`)}},
		"socket.io, joined":         {SocketIO{}, `42["joined"]`, load.Seen{Joined: true}},
		"socket.io, message":        {SocketIO{}, `42["message","~a"]`, load.Seen{Deliveries: []load.Delivery{text("~a")}}},
		"socket.io, ping":           {SocketIO{}, `2`, load.Seen{Reply: []byte(`3`)}},
		"socket.io, refused":        {SocketIO{}, `44{"message":"no"}`, load.Seen{Refused: `44{"message":"no"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			var got load.Seen
			tt.protocol.Read(m, []byte(tt.frame), &got)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// FuzzRead gives every driver any frame: a server that sends nonsense must not
// end a run.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`42["message","~a"]`))
	f.Add([]byte("{\"push\":{\"channel\":\"r\",\"pub\":{\"data\":\"~a\"}}}\n{}"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, p := range []load.Protocol{Chat{}, Channels{}, Centrifuge{}, SocketIO{}} {
			var s load.Seen
			p.Read(&load.Member{Room: "r"}, frame, &s)
			for _, d := range s.Deliveries {
				if len(d.Text) > len(frame) || len(d.Text) > 0 && d.Text[0] != '~' {
					t.Errorf("%s read %q from %q", p.Name(), d.Text, frame)
				}
			}
		}
	})
}
