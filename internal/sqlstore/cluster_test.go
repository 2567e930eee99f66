package sqlstore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// ordinary is a user who owns a schema and may do nothing else.
const ordinary = "ordinary"

// inSchema is the address of a new schema, for an ordinary user.
func inSchema(t *testing.T, server *parts.PostgresServer, schema string) string {
	t.Helper()
	server.Must("postgres", "DO $$ BEGIN CREATE ROLE "+ordinary+" LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
	server.Must("postgres", "CREATE SCHEMA "+schema+" AUTHORIZATION "+ordinary)
	return strings.Replace(server.URL("postgres", "search_path="+schema), "//"+parts.PostgresUser+"@", "//"+ordinary+"@", 1)
}

func openAll(t *testing.T, url string, n int) []*sqlstore.Store {
	t.Helper()
	stores := make([]*sqlstore.Store, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { stores[i], errs[i] = sqlstore.Open(t.Context(), url, quiet) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, s := range stores {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return stores
}

func said(room, nonce string, author int) chat.Draft {
	return chat.Draft{
		Room: room, Author: chat.User{ID: chat.UserID(author), Name: fmt.Sprint("Sender ", author)},
		Nonce: nonce, Text: "said with " + nonce, Create: true,
	}
}

// logOf reads a room and wants its numbers dense and each nonce once.
func logOf(t *testing.T, s chat.Store, room string) []chat.Message {
	t.Helper()
	var all []chat.Message
	nonces := make(map[string]bool)
	for {
		p, err := s.Messages(t.Context(), room, chat.Range{Before: -1, After: int64(len(all)), Around: -1, Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range p.Messages {
			if m.Seq != int64(len(all))+1 || nonces[m.Nonce] || m.Text != "said with "+m.Nonce {
				t.Fatalf("%s: place %d holds %+v, seen before: %v", room, len(all)+1, m, nonces[m.Nonce])
			}
			nonces[m.Nonce] = true
			all = append(all, m)
		}
		if p.Last {
			return all
		}
	}
}

// book is what appends were answered.
type book struct {
	mu  sync.Mutex
	seq map[string]int64 // by room and nonce
	new map[string]int   // answers that were no repetition
}

func newBook() *book { return &book{seq: make(map[string]int64), new: make(map[string]int)} }

// note takes the answers of an append, and wants those of one nonce to be equal.
func (b *book) note(t *testing.T, batch []chat.Draft, results []chat.Appended) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, r := range results {
		key := batch[i].Room + " " + batch[i].Nonce
		if seq, known := b.seq[key]; r.Err != nil || known && seq != r.Message.Seq {
			t.Errorf("%s: answered with %d before, now %+v", key, seq, r)
		}
		b.seq[key] = r.Message.Seq
		if !r.Duplicate {
			b.new[key]++
		}
	}
}

// check compares the answers with the logs.
func (b *book) check(t *testing.T, s chat.Store, rooms int) {
	t.Helper()
	total := 0
	for room := range rooms {
		slug := fmt.Sprint("room ", room)
		log := logOf(t, s, slug)
		total += len(log)
		for _, m := range log {
			if got := b.seq[slug+" "+m.Nonce]; got != m.Seq {
				t.Errorf("%s %s is stored as %d and was answered as %d", slug, m.Nonce, m.Seq, got)
			}
		}
	}
	if total != len(b.seq) {
		t.Errorf("%d messages are stored, %d were answered", total, len(b.seq))
	}
}

func TestServersAppendAtOnce(t *testing.T) {
	server := parts.Postgres(t)
	t.Run("one begins the database, all have its settings", func(t *testing.T) {
		stores := openAll(t, inSchema(t, server, "begin"), 6)
		first, err := stores[0].Settings(t.Context())
		for _, s := range stores {
			if other, err2 := s.Settings(t.Context()); err != nil || err2 != nil || other != first {
				t.Errorf("settings %+v and %+v, %v, %v", first, other, err, err2)
			}
		}
	})
	t.Run("numbers are dense and nonces are stored once", func(t *testing.T) {
		const rooms, senders, rounds = 7, 4, 25
		stores := openAll(t, inSchema(t, server, "together"), 3)
		answers := newBook()
		var wg sync.WaitGroup
		for n, s := range stores {
			for k := range senders {
				wg.Go(func() {
					for i := range rounds {
						var batch []chat.Draft
						for r := range rooms { // each server has the rooms in another order
							room := fmt.Sprint("room ", (r*(n+1)+k)%rooms)
							batch = append(batch, said(room, fmt.Sprint("own ", n, " ", k, " ", i), 1+(i*7+n)%40))
							batch = append(batch, said(room, fmt.Sprint("all ", i), 50)) // everybody says this
						}
						results, err := s.Append(t.Context(), batch)
						if err != nil {
							t.Error(err)
							return
						}
						answers.note(t, batch, results)
					}
				})
			}
		}
		wg.Wait()
		answers.check(t, stores[0], rooms)
		for key, times := range answers.new {
			if times != 1 {
				t.Errorf("%s was new %d times", key, times)
			}
		}
		if want := rooms * (len(stores)*senders*rounds + rounds); len(answers.seq) != want {
			t.Errorf("%d messages, want %d", len(answers.seq), want)
		}
	})
	t.Run("rooms and people who are new to all, in any order", func(t *testing.T) {
		const rounds, width = 40, 6
		stores := openAll(t, inSchema(t, server, "fresh"), 3)
		for i := range rounds {
			var wg sync.WaitGroup
			for n, s := range stores {
				wg.Go(func() {
					var batch []chat.Draft
					for r := range width {
						place := (r*(1+4*(n%2)) + n) % width // forward and backward
						room := fmt.Sprint("fresh ", i, " ", place)
						if i%2 == 1 { // nobody waits for another's room
							room += fmt.Sprint(" of ", n)
						}
						batch = append(batch, said(room, fmt.Sprint(n), 1+i*width+place))
					}
					if _, err := s.Append(t.Context(), batch); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		for i := range rounds * width {
			if i/width%2 == 1 {
				continue
			}
			if log := logOf(t, stores[0], fmt.Sprint("fresh ", i/width, " ", i%width)); len(log) != len(stores) {
				t.Fatalf("room %d holds %+v", i, log)
			}
		}
	})
	if strings.Contains(server.Log(), "deadlock detected") {
		t.Error("transactions waited in a circle")
	}
}

func TestACommitWhoseAnswerIsLost(t *testing.T) {
	server := parts.Postgres(t)
	for name, c := range map[string]struct {
		fault  fault
		stored bool
	}{
		"cut before the server has it":  {cutBefore, false},
		"cut after the server did it":   {cutAfter, true},
		"lost, and the server gives up": {lost, false},
	} {
		t.Run(name, func(t *testing.T) {
			schema := fmt.Sprint("fault", c.fault)
			direct := openAll(t, inSchema(t, server, schema), 1)[0]
			p := newProxy(t, server)
			s := openAll(t, p.url("idle_in_transaction_session_timeout=300&search_path="+schema), 1)[0]
			first := []chat.Draft{said("lobby", "first", 1)}
			if _, err := s.Append(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			unsure := []chat.Draft{said("lobby", "unsure", 1)}
			p.set(c.fault)
			if r, err := s.Append(t.Context(), unsure); err == nil {
				t.Fatalf("an append without an answer gave %+v", r)
			}
			other, err := direct.Append(t.Context(), []chat.Draft{said("lobby", "other", 2)})
			if err != nil {
				t.Fatalf("another server cannot go on: %v", err)
			}
			want := int64(3)
			if c.stored {
				want = 2
			}
			if other[0].Message.Seq != 5-want {
				t.Errorf("the other server's message has number %d", other[0].Message.Seq)
			}
			r, err := s.Append(t.Context(), unsure)
			if err != nil || r[0].Duplicate != c.stored || r[0].Message.Seq != want {
				t.Errorf("repeating: %+v %v, want number %d", r, err, want)
			}
			if log := logOf(t, direct, "lobby"); len(log) != 3 {
				t.Errorf("the log is %+v", log)
			}
		})
	}
	t.Run("a commit that comes late does nothing", func(t *testing.T) {
		direct := openAll(t, inSchema(t, server, "late"), 1)[0]
		p := newProxy(t, server)
		s := openAll(t, p.url("idle_in_transaction_session_timeout=0&search_path=late"), 1)[0]
		p.set(late)
		if r, err := s.Append(t.Context(), []chat.Draft{said("lobby", "late", 1)}); err == nil {
			t.Fatalf("an append without an answer gave %+v", r)
		}
		for i := range 2 {
			r, err := s.Append(t.Context(), []chat.Draft{said("lobby", fmt.Sprint("later ", i), 1)})
			if err != nil || r[0].Message.Seq != int64(i)+1 {
				t.Fatalf("after it: %+v %v", r, err)
			}
			p.deliver()
		}
		if log := logOf(t, direct, "lobby"); len(log) != 2 {
			t.Errorf("the log is %+v", log)
		}
	})
}

func TestRestartsOfPostgresLoseNothingAcknowledged(t *testing.T) {
	const rooms, senders, rounds = 3, 4, 150
	server := parts.Postgres(t)
	stores := openAll(t, inSchema(t, server, "restarts"), 2)
	answers := newBook()
	var wg sync.WaitGroup
	halfway := make(chan struct{}, len(stores)*senders)
	for n, s := range stores {
		for k := range senders {
			wg.Go(func() {
				for i := range rounds {
					batch := []chat.Draft{said(fmt.Sprint("room ", i%rooms), fmt.Sprint(n, " ", k, " ", i), 1+k)}
					results, err := s.Append(t.Context(), batch)
					for err != nil && t.Context().Err() == nil {
						results, err = s.Append(t.Context(), batch)
					}
					answers.note(t, batch, results)
					if i == rounds/3 || i == rounds*2/3 {
						halfway <- struct{}{}
					}
				}
			})
		}
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		for range len(stores) * senders / 2 {
			<-halfway
		}
		server.Restart(signal)
	}
	wg.Wait()
	answers.check(t, stores[1], rooms)
	if _, err := stores[0].Rooms(t.Context(), 10); err != nil {
		t.Errorf("reading afterwards: %v", err)
	}
}

func TestAnIdleServerDoesNotNoticeARestartOfPostgres(t *testing.T) {
	server := parts.Postgres(t)
	s := openAll(t, inSchema(t, server, "idle"), 1)[0]
	for i, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGINT} {
		r, err := s.Append(t.Context(), []chat.Draft{said("lobby", fmt.Sprint(i), 1)})
		if err != nil || r[0].Message.Seq != int64(i)+1 {
			t.Fatalf("append %d: %+v %v", i, r, err)
		}
		if log := logOf(t, s, "lobby"); len(log) != i+1 {
			t.Fatalf("the log is %+v", log)
		}
		server.Restart(signal)
	}
}
