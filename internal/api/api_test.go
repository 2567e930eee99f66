package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/api"
	"github.com/teahouse-chat/teahouse/internal/auth"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parts stands for the rest of the server: no rates, no counts, and a follower
// that gives what the log has once.
type parts struct {
	service *chat.Service
	wait    time.Duration // of every rate
	full    bool          // no more streams
}

func (p *parts) Take(chat.Limit, string) time.Duration { return p.wait }
func (p *parts) AcquireAddress(string) bool            { return !p.full }
func (p *parts) ReleaseAddress(string)                 {}

func (p *parts) Follow(ctx context.Context, room string, after int64, send func([]chat.Message) error, idle func() error) error {
	page, err := p.service.Page(ctx, room, chat.Range{Before: -1, After: after, Around: -1, Limit: 200})
	return errors.Join(err, send(page.Messages), idle())
}

type site struct {
	*parts
	http.Handler
	store chat.Store
}

func open(t *testing.T) *site {
	t.Helper()
	s := &site{parts: &parts{}, store: memstore.New()}
	var err error
	s.service, err = chat.New(t.Context(), chat.Options{Store: s.store, Limiter: s.parts, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.Handler = api.New(api.Options{
		Service: s.service, Identities: auth.NewGuests(s.service, [32]byte{1}, false),
		Follower: s.parts, Sockets: s.parts,
	})
	t.Cleanup(func() {
		if err := errors.Join(s.service.Shutdown(context.WithoutCancel(t.Context())), s.store.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends a request; headers come in pairs.
func (s *site) ask(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return v
}

const lobby = "/api/rooms/lobby/messages"

func TestPostingInEveryForm(t *testing.T) {
	s := open(t)
	for _, c := range []struct{ name, kind, body, text string }{
		{"curl -d", "application/x-www-form-urlencoded", "hi & <b>%20", "hi & <b>%20"},
		{"plain text", "text/plain; charset=utf-8", "你好\n", "你好"},
		{"no type", "", "hi", "hi"},
		{"JSON", "application/json", `{"text":"hi"}`, "hi"},
		{"JSON with a nonce", "application/json; charset=utf-8", `{"text":"hi","nonce":"n"}`, "hi"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := s.ask("POST", lobby, c.body, "Content-Type", c.kind)
			if got := decode[wire.Message](t, w); w.Code != 201 || got.Text != c.text || got.Seq == 0 || got.Nonce == "" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestANonceIsOneMessage(t *testing.T) {
	s := open(t)
	first := s.ask("POST", lobby, `{"text":"hi","nonce":"n"}`, "Content-Type", "application/json")
	cookie := first.Result().Header.Get("Set-Cookie")
	again := s.ask("POST", lobby, `{"text":"hi","nonce":"n"}`, "Content-Type", "application/json", "Cookie", cookie)
	if again.Code != 200 || again.Body.String() != first.Body.String() {
		t.Errorf("again: %d %s", again.Code, again.Body)
	}
	if again.Result().Header.Get("Set-Cookie") != "" {
		t.Error("a second identity was given")
	}
	other := s.ask("POST", lobby, `{"text":"ho","nonce":"n"}`, "Content-Type", "application/json", "Cookie", cookie)
	if other.Code != 409 || decode[map[string]string](t, other)["code"] != "nonce_conflict" {
		t.Errorf("another text: %d %s", other.Code, other.Body)
	}
}

func TestEveryMistakeIsTold(t *testing.T) {
	s := open(t)
	long := strings.Repeat("a", 8001)
	for _, c := range []struct {
		name, method, target, body string
		headers                    []string
		status                     int
		code                       string
	}{
		{"an empty text", "POST", lobby, "", nil, 422, "empty"},
		{"only zero width", "POST", lobby, "\u200b\u200b", nil, 422, "empty"},
		{"too long", "POST", lobby, long, nil, 422, "too_long"},
		{"more than 64 KiB", "POST", lobby, strings.Repeat("a", 64<<10+1), nil, 413, "too_long"},
		{"not UTF-8", "POST", lobby, "\xff", nil, 422, "bad_text"},
		{"bad JSON", "POST", lobby, "{", []string{"Content-Type", "application/json"}, 400, "bad_json"},
		{"a number for the text", "POST", lobby, `{"text":1}`, []string{"Content-Type", "application/json"}, 400, "bad_type"},
		{"no text", "POST", lobby, `{}`, []string{"Content-Type", "application/json"}, 400, "bad_type"},
		{"a long nonce", "POST", lobby, `{"text":"a","nonce":"` + long + `"}`, []string{"Content-Type", "application/json"}, 400, "bad_nonce"},
		{"XML", "POST", lobby, "<a/>", []string{"Content-Type", "text/xml"}, 415, "bad_type"},
		{"no media type", "POST", lobby, "a", []string{"Content-Type", ";;"}, 415, "bad_type"},
		{"a room that cannot be", "POST", "/api/rooms/" + url.PathEscape("a/b") + "/messages", "hi", nil, 400, "bad_room"},
		{"a room that cannot be, reading", "GET", "/api/rooms/%00/messages", "", nil, 400, "bad_room"},
		{"two cursors", "GET", lobby + "?before=1&after=1", "", nil, 400, "bad_query"},
		{"one cursor twice", "GET", lobby + "?before=1&before=2", "", nil, 400, "bad_query"},
		{"a cursor below zero", "GET", lobby + "?before=-1", "", nil, 400, "bad_query"},
		{"a cursor that is no number", "GET", lobby + "?after=x", "", nil, 400, "bad_query"},
		{"a limit that is no number", "GET", lobby + "?limit=x", "", nil, 400, "bad_query"},
		{"a token in the address", "GET", lobby + "?token=x", "", nil, 400, "bad_query"},
		{"a forged cookie", "POST", lobby, "hi", []string{"Cookie", "sid=x"}, 401, "bad_token"},
		{"a forged token", "GET", "/api/rooms/lobby/stream", "", []string{"Authorization", "Bearer x"}, 401, "bad_token"},
		{"a bad event id", "GET", "/api/rooms/lobby/stream", "", []string{"Last-Event-ID", "x"}, 400, "bad_query"},
		{"another method", "DELETE", lobby, "", nil, 405, "method_not_allowed"},
		{"another method on a stream", "POST", "/api/rooms/lobby/stream", "", nil, 405, "method_not_allowed"},
		{"another address", "GET", "/api/nothing", "", nil, 404, "not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := s.ask(c.method, c.target, c.body, c.headers...)
			got := decode[map[string]string](t, w)
			if w.Code != c.status || got["code"] != c.code || got["message"] == "" || got["hint"] == "" || len(got) != 3 {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.code)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
}

func TestRatesSayWhenToComeBack(t *testing.T) {
	s := open(t)
	s.wait, s.full = 1200*time.Millisecond, true
	for _, w := range []*httptest.ResponseRecorder{s.ask("POST", lobby, "hi"), s.ask("GET", "/api/rooms/lobby/stream", "")} {
		if w.Code != 429 || w.Header().Get("Retry-After") == "" || decode[map[string]string](t, w)["code"] != "rate_limited" {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
}

func TestAStoreThatIsGoneKeepsItsInsidesToItself(t *testing.T) {
	s := open(t)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*httptest.ResponseRecorder{s.ask("POST", lobby, "hi"), s.ask("GET", lobby, "")} {
		got := decode[map[string]string](t, w)
		if w.Code != 503 || got["code"] != "unavailable" || w.Header().Get("Retry-After") == "" || strings.Contains(got["message"], "clos") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	s.store = memstore.New() // for the clean-up
}

type page struct {
	Room        string
	Messages    []wire.Message
	First, Last bool
}

func TestPagesOfALog(t *testing.T) {
	s := open(t)
	for i := range 10 {
		if w := s.ask("POST", lobby, strconv.Itoa(i+1)); w.Code != 201 {
			t.Fatal(w.Body)
		}
	}
	for _, c := range []struct {
		query       string
		from, to    int64
		first, last bool
	}{
		{"", 1, 10, true, true},
		{"?limit=3", 8, 10, false, true},
		{"?before=5&limit=2", 3, 4, false, false},
		{"?before=3", 1, 2, true, false},
		{"?after=0&limit=2", 1, 2, true, false},
		{"?after=8", 9, 10, false, true},
		{"?around=5&limit=3", 4, 6, false, false},
		{"?limit=1000000000000", 1, 10, true, true},
	} {
		t.Run(c.query, func(t *testing.T) {
			w := s.ask("GET", lobby+c.query, "")
			p := decode[page](t, w)
			if w.Code != 200 || len(p.Messages) == 0 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			from, to := p.Messages[0].Seq, p.Messages[len(p.Messages)-1].Seq
			if from != c.from || to != c.to || p.First != c.first || p.Last != c.last || int64(len(p.Messages)) != to-from+1 || p.Room != "lobby" {
				t.Errorf("got %d-%d %v %v", from, to, p.First, p.Last)
			}
		})
	}
	if w := s.ask("GET", "/api/rooms/empty/messages", ""); w.Body.String() != `{"room":"empty","messages":[],"first":true,"last":true}`+"\n" {
		t.Errorf("an unknown room is %s", w.Body)
	}
}

func TestTheStreamKnowsWherePositionsComeFrom(t *testing.T) {
	s := open(t)
	for i := range 3 {
		s.ask("POST", lobby, strconv.Itoa(i+1))
	}
	epoch := s.service.Epoch()
	for _, c := range []struct {
		name, query, id string
		reset           bool
		seqs            string
	}{
		{"only what is new", "", "", false, ""},
		{"after a position", "?after=1", "", false, "23"},
		{"from the beginning", "?after=0", "", false, "123"},
		{"after the last event", "", epoch + "-2", false, "3"},
		{"the last event wins", "?after=0", epoch + "-3", false, ""},
		{"another epoch", "", "0000-2", true, "123"},
		{"beyond the last", "?after=99", "", true, "123"},
		{"with its epoch", "?after=2&epoch=" + epoch, "", false, "3"},
		{"of another epoch", "?after=2&epoch=0000", "", true, "123"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(s)
			defer server.Close()
			r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/api/rooms/lobby/stream"+c.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.id != "" {
				r.Header.Set("Last-Event-ID", c.id)
			}
			answer, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			var b strings.Builder
			if err := answer.Write(&b); err != nil {
				t.Fatal(err)
			}
			seqs := ""
			for _, line := range strings.Split(b.String(), "\n") {
				if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "id: "+epoch+"-"); ok {
					seqs += rest
				}
			}
			if answer.Header.Get("Content-Type") != "text/event-stream" || seqs != c.seqs || strings.Contains(b.String(), "event: reset") != c.reset {
				t.Errorf("got seqs %q in\n%s", seqs, &b)
			}
		})
	}
}
