package parts

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRedisForgetsAtARestartUnlessItSaves(t *testing.T) {
	for _, tt := range []struct {
		save bool
		want string
	}{{false, ""}, {true, "v"}} {
		t.Run(fmt.Sprint("save ", tt.save), func(t *testing.T) {
			s := Redis(t, RedisOptions{Save: tt.save})
			s.Must("SET", "k", "v")
			if n := s.Calls()["set"]; n != 1 {
				t.Errorf("%d calls of SET", n)
			}
			s.Restart()
			if got := s.Must("GET", "k"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			s.Kill()
			if _, err := s.Do("PING"); err == nil {
				t.Error("it answers after Kill")
			}
			s.Restart()
		})
	}
}

func TestAnErrorOfRedisIsOne(t *testing.T) {
	s := Redis(t, RedisOptions{})
	if _, err := s.Do("NONSENSE"); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("got %v", err)
	}
}

func TestPostgresKeepsWhatWasCommittedThroughACrash(t *testing.T) {
	s := Postgres(t, "max_connections=20")
	s.Must("postgres", "CREATE TABLE kept (v INTEGER)")
	s.Must("postgres", "INSERT INTO kept VALUES (1)")
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		s.Restart(signal)
		if got := s.Must("postgres", "SELECT v, current_setting('max_connections'), current_setting('fsync') FROM kept"); got != "1|20|on" {
			t.Errorf("after %v: %q", signal, got)
		}
	}
	if _, err := s.Do("postgres", "NONSENSE"); err == nil || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("nonsense gives %v", err)
	}
	s.Kill()
	if _, err := s.Do("postgres", "SELECT 1"); err == nil {
		t.Error("it answers after Kill")
	}
	s.Restart(syscall.SIGINT)
}

const echo = `
import json, sys
for line in sys.stdin:
    q = json.loads(line)
    if q["call"] == "die":
        break
    if q["call"] == "fail":
        print(json.dumps({"id": q["id"], "error": "failed"}))
    elif q["call"] == "hang":
        print("not an answer")
    else:
        print(json.dumps({"id": q["id"], "result": q["args"]}))
`

func TestAPythonPeerAnswersManyGoroutinesAndEnds(t *testing.T) {
	p := Python(t, echo, "json")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				var got int
				if err := p.Call("echo", i*1000+n, &got); err != nil || got != i*1000+n {
					t.Errorf("got %d, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	if err := p.Call("fail", nil, nil); err == nil || err.Error() != "fail: failed" {
		t.Errorf("an error gives %v", err)
	}
	wg.Go(func() {
		if err := p.Call("hang", nil, nil); !errors.Is(err, ErrEnded) {
			t.Errorf("a call that is never answered gives %v", err)
		}
	})
	Eventually(t, "the call arrived", func() bool { return strings.Contains(p.Log(), "not an answer") })
	p.Restart()
	wg.Wait()
	if err := p.Call("echo", 1, nil); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if err := p.Call("die", nil, nil); !errors.Is(err, ErrEnded) {
		t.Errorf("a process that ends by itself gives %v", err)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	if err := p.Call("echo", 1, nil); !errors.Is(err, ErrEnded) {
		t.Errorf("a call after the end gives %v", err)
	}
}

func TestWhatIsNotInstalledSkipsOrFails(t *testing.T) {
	for _, require := range []string{"", "1"} {
		t.Setenv("TEAHOUSE_REQUIRE", require)
		p := &probe{TB: t}
		func() {
			defer func() { _ = recover() }()
			findPython(p, []string{"no_such_module_as_this"})
		}()
		want := map[string]string{"": "skipped", "1": "failed"}[require]
		if p.end != want || !strings.Contains(p.why, "no_such_module_as_this") {
			t.Errorf("TEAHOUSE_REQUIRE=%q: %s: %s", require, p.end, p.why)
		}
	}
}

// probe notes how a test would have ended.
type probe struct {
	testing.TB
	end, why string
}

func (p *probe) Helper() {}

func (p *probe) Skip(args ...any) {
	p.end, p.why = "skipped", fmt.Sprint(args...)
	panic(p.end)
}

func (p *probe) Fatalf(format string, args ...any) {
	p.end, p.why = "failed", fmt.Sprintf(format, args...)
	panic(p.end)
}
