package chat_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ann = chat.User{ID: 1, Name: "Ann"}

// newService starts a service that the test shuts down. The store is a
// memstore unless o has one.
func newService(t *testing.T, o chat.Options) *chat.Service {
	t.Helper()
	if o.Store == nil {
		o.Store = memstore.New()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s, err := chat.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func post(room, nonce, text string) chat.Post {
	return chat.Post{Room: room, Author: ann, Nonce: nonce, Text: text, Address: "192.0.2.1"}
}

// stubborn is a store whose appends a test can hold or break.
type stubborn struct {
	chat.Store
	before func(batch []chat.Draft) error // an error fails the append with nothing stored
	after  func() error                   // an error fails the append although all is stored
	try    func() error                   // is asked in place of both for an empty batch; fixed
}

func (s *stubborn) Append(ctx context.Context, batch []chat.Draft) ([]chat.Appended, error) {
	if len(batch) == 0 {
		if s.try == nil {
			return nil, nil
		}
		return nil, s.try()
	}
	if s.before != nil {
		if err := s.before(batch); err != nil {
			return nil, err
		}
	}
	results, err := s.Store.Append(ctx, batch)
	if err == nil && s.after != nil {
		err = s.after()
	}
	if err != nil {
		return nil, err
	}
	return results, nil
}

// outcomes collects what done functions are told, one line each.
type outcomes struct {
	mu    sync.Mutex
	lines []string
}

func (o *outcomes) add(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, fmt.Sprintf(format, args...))
}

func (o *outcomes) done(name string) func(chat.Message, bool, error) {
	return func(m chat.Message, duplicate bool, err error) {
		switch {
		case err != nil:
			o.add("%s: %v", name, err)
		case duplicate:
			o.add("%s: %d again", name, m.Seq)
		default:
			o.add("%s: %d", name, m.Seq)
		}
	}
}

func (o *outcomes) want(t *testing.T, lines ...string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if diff := cmp.Diff(lines, o.lines); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func TestAPostIsStoredOncePublishedOnceAndAnsweredAgain(t *testing.T) {
	var published []chat.Message
	s := newService(t, chat.Options{Publish: func(room string, m chat.Message) { published = append(published, m) }})
	p := post(" lobby ", "n1", "hi\r\n")
	m, dup, err := s.Post(t.Context(), p)
	if err != nil || dup || m.Seq != 1 || m.Text != "hi" || m.Author != ann {
		t.Fatalf("first: %+v %v %v", m, dup, err)
	}
	again, dup, err := s.Post(t.Context(), p)
	if err != nil || !dup || again != m {
		t.Fatalf("again: %+v %v %v, want %+v", again, dup, err, m)
	}
	p.Text = "ho"
	if _, _, err = s.Post(t.Context(), p); !errors.Is(err, chat.ErrNonceConflict) || chat.RetryAfter(err) != 0 {
		t.Fatalf("other text: %v", err)
	}
	if len(published) != 1 || published[0] != m {
		t.Fatalf("published %+v", published)
	}
	stats := s.Stats()
	if stats.Posts != 1 || stats.Duplicates != 1 || stats.Commits != 1 || stats.BatchMax != 1 || stats.Queued != 0 {
		t.Fatalf("stats %+v", stats)
	}
}

func TestPostsAgainstTheRulesAreRefusedAtOnce(t *testing.T) {
	s := newService(t, chat.Options{})
	for _, c := range []struct {
		p    chat.Post
		want error
	}{
		{post("a/b", "n", "x"), chat.ErrBadRoom},
		{post("a", "", "x"), chat.ErrBadNonce},
		{post("a", "n", " "), chat.ErrEmpty},
		{post("a", "n", "\x00"), chat.ErrBadText},
		{post("a", "n", strings.Repeat("x", 8001)), chat.ErrTooLong},
	} {
		err := s.Submit(t.Context(), c.p, func(chat.Message, bool, error) { t.Error("done was called") })
		if !errors.Is(err, c.want) || chat.RetryAfter(err) != 0 {
			t.Errorf("%.40q: %v, want %v", fmt.Sprint(c.p), err, c.want)
		}
	}
	if got := s.Stats().Refused; got != 5 {
		t.Errorf("%d refused", got)
	}
}

// What waits during a commit is one batch; what is published is stored; all of
// a batch is published before anybody is answered.
func TestWhatWaitsDuringACommitIsTheNextCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log outcomes
		hold := make(chan struct{})
		store := &stubborn{Store: memstore.New()}
		store.before = func(batch []chat.Draft) error {
			<-hold
			log.add("commit %d", len(batch))
			return nil
		}
		s := newService(t, chat.Options{Store: store, Publish: func(room string, m chat.Message) {
			if r, err := store.Find(t.Context(), room); err != nil || len(r) != 1 || r[0].LastSeq < m.Seq {
				t.Errorf("published before stored: %d, %+v %v", m.Seq, r, err)
			}
			log.add("publish %s %d", room, m.Seq)
		}})
		for _, nonce := range []string{"a", "b", "c"} {
			if err := s.Submit(t.Context(), post("lobby", nonce, "x"), log.done(nonce)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the first is alone, then the writer is held
		}
		close(hold)
		synctest.Wait()
		log.want(t, "commit 1", "commit 1", "publish lobby 1", "a: 1",
			"commit 2", "publish lobby 2", "publish lobby 3", "b: 2", "c: 3")
	})
}

func TestBatchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		hold := make(chan struct{})
		store := &stubborn{Store: memstore.New(), before: func(batch []chat.Draft) error {
			<-hold
			sizes = append(sizes, len(batch))
			return nil
		}}
		s := newService(t, chat.Options{Store: store})
		submit := func(nonce, text string) {
			if err := s.Submit(t.Context(), post("lobby", nonce, text), func(chat.Message, bool, error) {}); err != nil {
				t.Fatal(err)
			}
		}
		submit("first", "x")
		synctest.Wait()
		for i := range 1100 {
			submit(fmt.Sprint(i), "x")
		}
		for i := range 64 {
			submit(fmt.Sprint("long", i), strings.Repeat("𠀀", 8000)) // 32,000 bytes each
		}
		close(hold)
		synctest.Wait()
		// 1 alone, made again with its room; 1,024; 76 and as many long ones as
		// begin below 1 MiB; the others.
		if diff := cmp.Diff([]int{1, 1, 1024, 76 + 33, 31}, sizes); diff != "" {
			t.Fatalf("batches (-want +got):\n%s", diff)
		}
	})
}

func TestAFullQueueBlocksAndThenRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		store := &stubborn{Store: memstore.New(), before: func([]chat.Draft) error { <-hold; return nil }}
		s := newService(t, chat.Options{Store: store})
		nobody := func(chat.Message, bool, error) {}
		for i := range 1 + 4096 {
			if err := s.Submit(t.Context(), post("lobby", fmt.Sprint(i), "x"), nobody); err != nil {
				t.Fatalf("post %d: %v", i, err)
			}
			if i == 0 {
				synctest.Wait()
			}
		}
		start := time.Now()
		err := s.Submit(t.Context(), post("lobby", "late", "x"), nobody)
		if !errors.Is(err, chat.ErrBusy) || time.Since(start) != 5*time.Second || chat.RetryAfter(err) == 0 {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Submit(ctx, post("lobby", "later", "x"), nobody); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("with a deadline: %v", err)
		}
		time.AfterFunc(time.Second, func() { close(hold) })
		if m, _, err := s.Post(t.Context(), post("lobby", "lucky", "x")); err != nil || m.Seq != 4098 {
			t.Fatalf("when there is room again: %+v %v", m, err)
		}
	})
}

func TestAStoreThatFailsIsToldToEachSenderAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		broken := errors.New("disk on fire")
		store := &stubborn{Store: memstore.New()}
		s := newService(t, chat.Options{Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		store.before = func([]chat.Draft) error { return broken }
		for i := range 3 {
			_, _, err := s.Post(t.Context(), post("lobby", fmt.Sprint(i), "x"))
			if !errors.Is(err, chat.ErrUnavailable) || !errors.Is(err, broken) || chat.RetryAfter(err) == 0 {
				t.Fatalf("post %d: %v", i, err)
			}
		}
		if stats := s.Stats(); stats.Failures != 3 || !stats.Failing || stats.Posts != 0 {
			t.Fatalf("stats %+v", stats)
		}
		store.before = nil
		if m, _, err := s.Post(t.Context(), post("lobby", "0", "x")); err != nil || m.Seq != 1 {
			t.Fatalf("when it works again: %+v %v", m, err)
		}
		if s.Stats().Failing {
			t.Error("still failing")
		}
		if n := strings.Count(log.String(), "disk on fire"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &log)
		}
		if !strings.Contains(log.String(), "works again") {
			t.Errorf("no word that it works again:\n%s", &log)
		}
	})
}

func TestAStoreThatWorksAgainIsNoticedThoughNobodyPosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var tries atomic.Int32
		var works atomic.Bool
		broken := func() error {
			tries.Add(1)
			if works.Load() {
				return nil
			}
			return errors.New("disk on fire")
		}
		store := &stubborn{Store: memstore.New(), try: broken, before: func([]chat.Draft) error { return broken() }}
		s := newService(t, chat.Options{Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if _, _, err := s.Post(t.Context(), post("lobby", "a", "x")); !errors.Is(err, chat.ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		if stats := s.Stats(); !stats.Failing || stats.Failures != 1 || tries.Load() != 31 {
			t.Fatalf("tried %d times in 61 s, %+v", tries.Load(), stats)
		}
		works.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.Stats().Failing || tries.Load() != 32 {
			t.Errorf("tried %d times, failing %v", tries.Load(), s.Stats().Failing)
		}
		if n := strings.Count(log.String(), "disk on fire"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &log)
		}
	})
}

func TestAMessageOfUnknownFateIsFoundAndPublishedWhenRepeated(t *testing.T) {
	store := &stubborn{Store: memstore.New()}
	var published []int64
	s := newService(t, chat.Options{Store: store, Publish: func(_ string, m chat.Message) { published = append(published, m.Seq) }})
	if _, _, err := s.Post(t.Context(), post("lobby", "a", "x")); err != nil {
		t.Fatal(err)
	}
	store.after = func() error { return errors.New("the answer got lost") }
	if _, _, err := s.Post(t.Context(), post("lobby", "b", "x")); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatal(err)
	}
	store.after = nil
	m, dup, err := s.Post(t.Context(), post("lobby", "b", "x"))
	if err != nil || !dup || m.Seq != 2 {
		t.Fatalf("repeated: %+v %v %v", m, dup, err)
	}
	if diff := cmp.Diff([]int64{1, 2}, published); diff != "" {
		t.Fatalf("published (-want +got):\n%s", diff)
	}
}

func TestAPanicElsewhereDoesNotEndTheWriter(t *testing.T) {
	store := &stubborn{Store: memstore.New()}
	s := newService(t, chat.Options{Store: store, Publish: func(_ string, m chat.Message) {
		if m.Text == "publish" {
			panic("in Publish")
		}
	}})
	if _, _, err := s.Post(t.Context(), post("lobby", "a", "publish")); err != nil {
		t.Fatalf("a panic in Publish: %v", err)
	}
	if err := s.Submit(t.Context(), post("lobby", "b", "x"), func(chat.Message, bool, error) { panic("in done") }); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Post(t.Context(), post("lobby", "c", "x")); err != nil { // the writer has passed b
		t.Fatalf("after a panic in done: %v", err)
	}
	store.before = func([]chat.Draft) error { panic("in the store") }
	if _, _, err := s.Post(t.Context(), post("lobby", "d", "x")); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatalf("a panic in the store: %v", err)
	}
	store.before = nil
	if m, _, err := s.Post(t.Context(), post("lobby", "d", "x")); err != nil || m.Seq != 4 || s.Stats().Panics != 2 {
		t.Fatalf("afterwards: %+v %v, %d panics", m, err, s.Stats().Panics)
	}
}

func TestShutdownStoresWhatWasAcceptedAndRefusesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log outcomes
		store := &stubborn{Store: memstore.New(), before: func([]chat.Draft) error { time.Sleep(time.Second); return nil }}
		s := newService(t, chat.Options{Store: store})
		for i := range 3 {
			if err := s.Submit(t.Context(), post("lobby", fmt.Sprint(i), "x"), log.done(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		log.want(t, "0: 1", "1: 2", "2: 3")
		_, _, err := s.Post(t.Context(), post("lobby", "late", "x"))
		if !errors.Is(err, chat.ErrClosed) || chat.RetryAfter(err) == 0 {
			t.Fatalf("late: %v", err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatalf("again: %v", err)
		}
	})
}

func TestShutdownGivesUpOnAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log outcomes
		store := &stubborn{Store: memstore.New(), before: func([]chat.Draft) error { time.Sleep(time.Minute); return nil }}
		s := newService(t, chat.Options{Store: store})
		if err := s.Submit(t.Context(), post("lobby", "a", "x"), log.done("a")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(time.Minute)
		log.want(t, "a: the store is not available: memstore: context canceled")
	})
}

func TestAWaitingPostEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &stubborn{Store: memstore.New(), before: func([]chat.Draft) error { time.Sleep(time.Minute); return nil }}
		s := newService(t, chat.Options{Store: store})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.Post(ctx, post("lobby", "a", "x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if m, dup, err := s.Post(t.Context(), post("lobby", "a", "x")); err != nil || !dup || m.Seq != 1 {
			t.Fatalf("the nonce tells what became of it: %+v %v %v", m, dup, err)
		}
	})
}
