package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	redigo "github.com/gomodule/redigo/redis"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

// end is a server's end of a pipe, which a test speaks for.
type end struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// piped starts a pipe to an end; both are closed with the test.
func piped(t *testing.T) (*pipe, *end) {
	ours, theirs := net.Pipe()
	p := newPipe(newLink("here", ours, func(*link) {}))
	var running sync.WaitGroup
	running.Go(p.write)
	running.Go(p.read)
	t.Cleanup(func() {
		_ = theirs.Close()
		running.Wait()
	})
	return p, &end{t, theirs, bufio.NewReader(theirs)}
}

// hears reads a command.
func (e *end) hears(want string) {
	e.t.Helper()
	var n int
	if _, err := fmt.Fscanf(e.in, "*%d\r\n", &n); err != nil {
		e.t.Fatal(err)
	}
	words := make([]string, n)
	for i := range words {
		var size int
		if _, err := fmt.Fscanf(e.in, "$%d\r\n", &size); err != nil {
			e.t.Fatal(err)
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(e.in, word); err != nil {
			e.t.Fatal(err)
		}
		words[i] = string(word[:size])
	}
	if got := strings.Join(words, " "); got != want {
		e.t.Fatalf("heard %q, want %q", got, want)
	}
}

func (e *end) says(answer string) {
	e.t.Helper()
	if _, err := io.WriteString(e, answer); err != nil {
		e.t.Fatal(err)
	}
}

// asked is what a request comes to.
type asked struct {
	answers []any
	err     error
}

func ask(ctx context.Context, p *pipe, commands ...command) <-chan asked {
	came := make(chan asked, 1)
	go func() {
		var got asked
		var r *request
		if r, got.err = p.add(ctx, commands); got.err == nil {
			got.answers, got.err = r.wait()
		}
		came <- got
	}()
	synctest.Wait()
	return came
}

func connTo(t *testing.T, server *parts.RedisServer) *conn {
	t.Helper()
	h, err := parseHost(at(server)[0])
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(h, nil, nil)
	t.Cleanup(c.close)
	return c
}

func TestEachGetsTheAnswersToWhatItAsked(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	c := connTo(t, server)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for j := range 100 {
				one, two := fmt.Sprint(i, " ", j), strings.Repeat("x", i*j)
				answers, err := c.do(t.Context(), command{"ECHO", one}, command{"NOSUCH"}, command{"ECHO", two})
				if err != nil {
					t.Error(err)
					return
				}
				first, _ := redigo.String(answers[0], nil)
				last, _ := redigo.String(answers[2], nil)
				if _, failed := answers[1].(redigo.Error); !failed || first != one || last != two {
					t.Errorf("asked for %q, got %q, %v and %d bytes", one, first, answers[1], len(last))
				}
			}
		})
	}
	all.Wait()
	if n := len(c.links); n != 1 {
		t.Errorf("%d connections are open", n)
	}
}

func TestWhoGivesUpIsNotAskedForAndDisturbsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, server := piped(t)
		ctx, cancel := context.WithCancel(t.Context())
		first := ask(ctx, p, command{"ECHO", "1"}) // is being written
		unsent := ask(ctx, p, command{"ECHO", "2"})
		last := ask(t.Context(), p, command{"ECHO", "3"}, command{"ECHO", "4"})
		cancel()
		for _, gaveUp := range []<-chan asked{first, unsent} {
			if got := <-gaveUp; !errors.Is(got.err, context.Canceled) {
				t.Errorf("got %+v", got)
			}
		}
		server.hears("ECHO 1")
		server.says("+1\r\n")
		server.hears("ECHO 3")
		server.hears("ECHO 4")
		server.says("+3\r\n+4\r\n")
		if got := <-last; got.err != nil || fmt.Sprint(got.answers) != "[3 4]" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestAConnectionThatIsLostIsAnErrorOfAllThatWait(t *testing.T) {
	for name, lose := range map[string]struct {
		how  func(e *end)
		want error
	}{
		"closed":                     {func(e *end) { _ = e.Close() }, errCut},
		"not understood":             {func(e *end) { e.says("HTTP/1.1 400 Bad Request\r\n") }, errCut},
		"silent":                     {func(*end) {}, os.ErrDeadlineExceeded},
		"closed in the mid of a bit": {func(e *end) { e.says("$5\r\nab"); _ = e.Close() }, errCut},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, server := piped(t)
				one := ask(t.Context(), p, command{"ECHO", "1"})
				two := ask(t.Context(), p, command{"ECHO", "2"})
				server.hears("ECHO 1")
				lose.how(server)
				began := time.Now()
				for _, came := range []<-chan asked{one, two} {
					if got := <-came; !errors.Is(got.err, errCut) || !errors.Is(got.err, lose.want) {
						t.Errorf("got %+v, want %v", got, lose.want)
					}
				}
				if took := time.Since(began); took > pingAfter+replyTimeout {
					t.Errorf("it took %v", took)
				}
				if _, err := p.add(t.Context(), []command{{"PING"}}); !errors.Is(err, errCut) || !p.broken() {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

func TestAConnectionWhereNothingHappensIsPingedAndLostWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, server := piped(t)
		for range 5 {
			server.hears("PING")
			server.says("+PONG\r\n")
		}
		server.hears("PING")
		synctest.Wait()
		began := time.Now()
		<-p.gone
		if took := time.Since(began); took != replyTimeout {
			t.Errorf("it was given up after %v", took)
		}
	})
}

func TestAnAnswerThatNobodyAskedForEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, server := piped(t)
		server.says("+OK\r\n")
		<-p.gone
		if !errors.Is(p.err, errUnasked) {
			t.Errorf("the reason is %v", p.err)
		}
	})
}

func TestAScriptIsSentAgainToAServerThatForgotIt(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	c := connTo(t, server)
	add := newScript("return ARGV[1] + KEYS[1]")
	for i := range 4 {
		if i == 2 {
			server.Must("SCRIPT", "FLUSH")
		}
		if n, err := redigo.Int(c.run(t.Context(), add, []string{"1"}, []string{fmt.Sprint(i)})); err != nil || n != i+1 {
			t.Errorf("got %d, %v", n, err)
		}
	}
	if calls := server.Calls(); calls["eval"] != 2 || calls["evalsha"] != 4 {
		t.Errorf("it was sent %d times, and named %d times", calls["eval"], calls["evalsha"])
	}
	if _, err := c.run(t.Context(), newScript("nonsense"), nil, nil); err == nil {
		t.Error("nonsense was run")
	}
}

func TestLinksThatWaitInRedisAreUsedAgain(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	c := connTo(t, server)
	borrow := func() *link {
		l, err := c.borrow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	one, two := borrow(), borrow()
	c.giveBack(one)
	c.giveBack(two)
	if borrow() != two || borrow() != one {
		t.Error("they were not used again, the latest first")
	}
	c.giveBack(two)
	two.idle = time.Now().Add(-pingAfter)
	if three := borrow(); three == two || c.links[two] {
		t.Error("one that may be lost was used again")
	}
	var many []*link
	for range maxIdle + 3 {
		many = append(many, borrow())
	}
	for _, l := range many {
		c.giveBack(l)
	}
	if len(c.idle) != maxIdle || len(c.links) != maxIdle+2 {
		t.Errorf("%d are kept of %d", len(c.idle), len(c.links))
	}
	lost := borrow()
	lost.close()
	c.giveBack(lost)
	if len(c.idle) != maxIdle-1 {
		t.Error("one that is closed is kept")
	}
}
