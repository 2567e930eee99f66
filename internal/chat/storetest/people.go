package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

func presentNames(t *testing.T, f Factory) {
	s := open(t, f)
	mustAppend(t, s, draft("a", ann, "1", "x"), draft("a", bob, "2", "x"))
	if err := s.SaveUser(t.Context(), chat.User{ID: ann.ID, Name: "Anna"}, nil); err != nil {
		t.Fatal(err)
	}
	// What the sender believes about an author who is known does not matter.
	r := mustAppend(t, s, draft("a", ann, "3", "x"), draft("a", ann, "1", "x"))
	for i, want := range []chat.User{{ID: ann.ID, Name: "Anna"}, {ID: ann.ID, Name: "Anna"}} {
		wantEqual(t, fmt.Sprint("author of result ", i), r[i].Message.Author, want)
	}
	var names []string
	for _, m := range whole(t, s, "a") {
		names = append(names, m.Author.Name)
	}
	wantEqual(t, "names", names, []string{"Anna", "Bob", "Anna"})
}

func login(n byte, u chat.User) *chat.Login {
	return &chat.Login{Hash: [32]byte{n, 0, 0xff}, User: u, Created: start, Seen: start.Add(time.Hour)}
}

func newAuthors(t *testing.T, f Factory) {
	s := open(t, f)
	first := draft("a", ann, "1", "x")
	first.Login = login(1, ann)
	second := draft("a", ann, "2", "x")
	second.Author.Name = "Other"
	r := mustAppend(t, s, first, second)
	wantEqual(t, "author", r[1].Message.Author, ann)
	l, err := s.Login(t.Context(), first.Login.Hash)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "login", l, *first.Login)

	nowhere := draft("nowhere", bob, "1", "x")
	nowhere.Create, nowhere.Login = false, login(2, bob)
	mustAppend(t, s, nowhere)
	if _, err := s.Login(t.Context(), nowhere.Login.Hash); !errors.Is(err, chat.ErrNoLogin) {
		t.Fatalf("login of an author whose draft was refused: %v", err)
	}
}

func logins(t *testing.T, f Factory) {
	s := open(t, f)
	if _, err := s.Login(t.Context(), [32]byte{9}); !errors.Is(err, chat.ErrNoLogin) {
		t.Fatalf("unknown hash: %v", err)
	}
	l := login(1, ann)
	if err := s.SaveUser(t.Context(), ann, l); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name       string
		seen, want time.Time
	}{
		{"Cy", start, l.Seen},
		{"Dee", start.Add(2 * time.Hour), start.Add(2 * time.Hour)},
		{"Eve", start.Add(time.Hour), start.Add(2 * time.Hour)},
	} {
		again := *l
		again.Created, again.Seen = start.Add(time.Minute), step.seen
		u := chat.User{ID: ann.ID, Name: step.name}
		if err := s.SaveUser(t.Context(), u, &again); err != nil {
			t.Fatal(err)
		}
		got, err := s.Login(t.Context(), l.Hash)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "login", got, chat.Login{Hash: l.Hash, User: u, Created: l.Created, Seen: step.want})
	}
	second := login(2, ann)
	if err := s.SaveUser(t.Context(), ann, second); err != nil {
		t.Fatal(err)
	}
	for _, hash := range [][32]byte{l.Hash, second.Hash} {
		if got, err := s.Login(t.Context(), hash); err != nil || got.User != ann {
			t.Fatalf("one of two logins: %+v %v", got, err)
		}
	}
}

func settings(t *testing.T, f Factory) {
	a, b := open(t, f), open(t, f)
	first, err := a.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "settings read again", again, first)
	other, err := b.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Epoch) != 16 || first.Key == [32]byte{} || other.Epoch == first.Epoch || other.Key == first.Key {
		t.Fatalf("settings of two stores: %+v %+v", first, other)
	}
}

func readersDuringWrites(t *testing.T, f Factory) {
	const n = 60
	s := open(t, f)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			var last int64
			for ctx.Err() == nil {
				p, err := s.Messages(t.Context(), "a", chat.Newest(20))
				if err != nil {
					t.Errorf("Messages: %v", err)
					return
				}
				if k := len(p.Messages); k > 0 && (p.Messages[k-1].Seq != p.LastSeq || !p.Last) {
					t.Errorf("the newest page ends at %d of %d", p.Messages[k-1].Seq, p.LastSeq)
				}
				if p.LastSeq < last {
					t.Errorf("the log went back from %d to %d", last, p.LastSeq)
				}
				last = p.LastSeq
			}
		})
	}
	for i := range n {
		seq := mustAppend(t, s, draft("a", ann, fmt.Sprint(i), "x"))[0].Message.Seq
		if r, err := s.Find(t.Context(), "a"); err != nil || len(r) != 1 || r[0].LastSeq != seq {
			t.Errorf("after seq %d the room is %+v %v", seq, r, err)
		}
	}
	stop()
	wg.Wait()
}

// calls are all methods with harmless arguments.
func calls(ctx context.Context, s chat.Store) map[string]error {
	errs := make(map[string]error)
	_, errs["Append"] = s.Append(ctx, []chat.Draft{draft("z", bob, "z", "z")})
	_, errs["Messages"] = s.Messages(ctx, "a", chat.Newest(1))
	_, errs["Find"] = s.Find(ctx, "a")
	_, errs["Find of several"] = s.Find(ctx, "a", "b")
	_, errs["Rooms"] = s.Rooms(ctx, 1)
	_, errs["Login"] = s.Login(ctx, login(1, ann).Hash)
	errs["SaveUser"] = s.SaveUser(ctx, bob, nil)
	_, errs["Settings"] = s.Settings(ctx)
	return errs
}

func cancelledContexts(t *testing.T, f Factory) {
	s := open(t, f)
	fill(t, s, "a", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for method, err := range calls(ctx, s) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", method, err)
		}
	}
	if found, err := s.Find(t.Context(), "z"); err != nil || len(found) > 0 {
		t.Errorf("a cancelled append was stored: %v", err)
	}
	fill(t, s, "b", 3)
	wantDense(t, whole(t, s, "b"))
}

func closedStores(t *testing.T, f Factory) {
	s := f.Open(t, t.TempDir())
	fill(t, s, "a", 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for method, err := range calls(t.Context(), s) {
		if err == nil || errors.Is(err, chat.ErrNoRoom) || errors.Is(err, chat.ErrNoLogin) {
			t.Errorf("%s of a closed store: %v", method, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func reopening(t *testing.T, f Factory) {
	dir := t.TempDir()
	s := f.Open(t, dir)
	d := draft("a", ann, "n", "hi")
	d.Login = login(1, ann)
	want := mustAppend(t, s, d)[0].Message
	fill(t, s, "b", 100)
	log := whole(t, s, "b")
	set, err := s.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = f.Open(t, dir)
	defer s.Close()
	wantEqual(t, "log", whole(t, s, "b"), log)
	if r := mustAppend(t, s, d)[0]; !r.Duplicate || r.Message != want {
		t.Fatalf("repeated: %+v, want %+v", r, want)
	}
	again, err := s.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "settings", again, set)
	if l, err := s.Login(t.Context(), d.Login.Hash); err != nil || l.User != ann {
		t.Fatalf("login: %+v %v", l, err)
	}
	if r := mustAppend(t, s, draft("b", bob, "next", "x"))[0]; r.Message.Seq != 101 {
		t.Fatalf("next: %+v", r)
	}
}
