package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
	"github.com/teahouse-chat/teahouse/channels/worker"
	"github.com/teahouse-chat/teahouse/examples/internal/stage"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFactors(t *testing.T) {
	for n, want := range map[int64][]string{
		2: {"2"}, 8: {"2", "2", "2"}, 91: {"7", "13"}, 600851475143: {"71", "839", "1471", "6857"},
		1<<31 - 1: {"2147483647"},
	} {
		got, err := factors(t.Context(), n)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%d: %v %s", n, err, diff)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := factors(ctx, 1<<63-25); err != context.Canceled {
		t.Errorf("when the grace is over: %v", err)
	}
}

// post posts a number to the site.
func postNumber(h http.Handler, n string) *http.Response {
	r := httptest.NewRequest("POST", "/numbers", strings.NewReader("n="+n))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestWhatIsPostedIsDoneAndToldToEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := channels.NewLayer(nil)
		h, _ := site(layer)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- worker.Run(ctx, layer, work(layer)) }()
		ann, bob := channelstest.New(t, h, "/results"), channelstest.New(t, h, "/results")
		ann.Connect()
		bob.Connect()
		// Whoever may send to the channel may send nonsense.
		if err := layer.Send(ctx, "factors", channels.Event{Type: "nonsense", Payload: 1}); err != nil {
			t.Fatal(err)
		}
		if res := postNumber(h, "91"); res.StatusCode != http.StatusAccepted {
			t.Errorf("a number is answered %s", res.Status)
		}
		for _, c := range []*channelstest.Client{ann, bob} {
			if got := c.ReceiveText(); got != `{"factors":["7","13"],"n":"91"}` {
				t.Errorf("got %s", got)
			}
			c.Disconnect(1000)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWhatCannotBeDoneIsRefused(t *testing.T) {
	layer := channels.NewLayer(&channels.LayerOptions{Capacity: 2}) // and no worker
	h, _ := site(layer)
	for _, n := range []string{"", "tea", "1", "-7", "99999999999999999999"} {
		if res := postNumber(h, n); res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%q is answered %s", n, res.Status)
		}
	}
	var got []int
	for range 3 {
		got = append(got, postNumber(h, "7").StatusCode)
	}
	if diff := cmp.Diff([]int{202, 202, 503}, got); diff != "" {
		t.Errorf("with room for two: %s", diff)
	}
	r := httptest.NewRequest("POST", "/numbers", strings.NewReader("n=7"))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("a form of another site is answered %d", w.Code)
	}
	if err := layer.Close(); err != nil {
		t.Error(err)
	}
}

func TestThePageAndTheWorkAreOneProcessOrTwo(t *testing.T) {
	program := stage.Build(t, "worker")
	address, one := stage.Serve(t, program)
	computes(t, address)
	stops(t, one)

	layer := parts.Redis(t, parts.RedisOptions{}).URL()
	address, page := stage.Serve(t, program, "-layer", layer, "-only", "page")
	worker := stage.Start(t, program, "-layer", layer, "-only", "work")
	computes(t, address)
	stops(t, worker)
	stops(t, page)
}

func TestAnAddressThatIsTakenEndsTheProgram(t *testing.T) {
	taken, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := run(t.Context(), taken.Addr().String(), "", ""); err == nil {
		t.Error("no error")
	}
}

// computes has a program find factors.
func computes(t *testing.T, address string) {
	t.Helper()
	b := stage.Dial(t, address, "/results")
	if status, answer := stage.Post(t, "http://"+address+"/numbers", "n=600851475143"); status != http.StatusAccepted {
		t.Fatalf("answered %d %s", status, answer)
	}
	b.Hears(`{"factors":["71","839","1471","6857"],"n":"600851475143"}`)
	b.Leave()
}

// stops ends a program, which must be at peace with that.
func stops(t *testing.T, p *parts.Process) {
	t.Helper()
	p.Signal(os.Interrupt)
	if err := p.Wait(); err != nil {
		t.Errorf("stopped with %v", err)
	}
}
