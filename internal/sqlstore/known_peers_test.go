package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// openPeer opens a database that other servers may have open. Closing it twice is
// no harm.
func openPeer(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// inSchemaOf is the address of a new schema.
func inSchemaOf(server *parts.PostgresServer, schema string) string {
	server.Must("postgres", "CREATE SCHEMA "+schema)
	return server.URL("postgres", "search_path="+schema)
}

// kill ends the writing session of a store behind its back, if that is still there.
func kill(t interface{ Fatal(...any) }, server *parts.PostgresServer, session string) {
	const end = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid || ' ' || extract(epoch FROM backend_start) = '%s'`
	if _, err := server.Do("postgres", fmt.Sprintf(end, session)); err != nil {
		t.Fatal("ending a session: ", err)
	}
}

// asOne is two servers on one database and the store they are compared with. What
// a text "refused" is in cannot be stored, which shows after it was numbered.
type asOne struct {
	server *parts.PostgresServer
	url    string
	peers  [2]*Store
	want   chat.Store
	round  int // rooms and people of each are others
}

func newAsOne(t *testing.T) *asOne {
	p := &asOne{server: parts.Postgres(t)}
	p.url = inSchemaOf(p.server, "peers")
	for i := range p.peers {
		p.peers[i] = openPeer(t, p.url)
	}
	p.server.Must("postgres", `ALTER TABLE peers.chunks ADD CHECK (messages NOT LIKE '%"refused"%')`)
	return p
}

// append appends at one of the servers, and wants what a store that looks
// everything up answers.
func (p *asOne) append(t *rapid.T, peer *Store, batch []chat.Draft) {
	got, err := peer.Append(context.Background(), batch)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := p.want.Append(context.Background(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i].Message != wanted[i].Message || got[i].Duplicate != wanted[i].Duplicate || !errors.Is(got[i].Err, wanted[i].Err) {
			t.Fatalf("draft %d %+v:\n got %+v\nwant %+v", i, batch[i], got[i], wanted[i])
		}
	}
}

func (p *asOne) room(n int) string        { return fmt.Sprint("room ", n, " of ", p.round) }
func (p *asOne) author(n int) chat.UserID { return chat.UserID(p.round*10 + n) }

// many are more messages than a server reads of a room that it knows: their nonces
// begin with those of others.
func (p *asOne) many(room int) []chat.Draft {
	batch := make([]chat.Draft, fileAt+100)
	for i := range batch {
		batch[i] = chat.Draft{
			Room: p.room(room), Author: chat.User{ID: p.author(i % 3), Name: "first name"},
			Nonce: fmt.Sprint(i), Text: "text 0", At: time.UnixMilli(50).UTC(), Create: true,
		}
	}
	return batch
}

// Whatever servers that share a database know, have filed, have missed, forgotten
// or lost: by turns they answer as one store that looks everything up.
func TestServersByTurnsAnswerAsOneStore(t *testing.T) {
	t.Parallel()
	p := newAsOne(t)
	rapid.Check(t, func(rt *rapid.T) {
		p.round++
		p.want = memstore.New()
		pick := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(rt, name) }
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			at := pick("server", len(p.peers))
			s := p.peers[at]
			switch pick("step", 20) {
			case 0:
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				p.peers[at] = openPeer(t, p.url)
			case 1:
				if s.writer != nil {
					kill(rt, p.server, s.writer.session)
				}
			case 2:
				refused := chat.Draft{Room: p.room(pick("room", 3)), Author: chat.User{ID: p.author(9), Name: "lost"}, Nonce: "lost", Text: "refused", Create: true}
				if _, err := s.Append(context.Background(), []chat.Draft{refused}); !errors.Is(err, chat.ErrNotStored) {
					rt.Fatal("an Append that PostgreSQL refuses: ", err)
				}
			case 3:
				u := chat.User{ID: p.author(pick("renamed", 3)), Name: fmt.Sprint("name ", pick("name", 3))}
				if err := errors.Join(s.SaveUser(context.Background(), u, nil), p.want.SaveUser(context.Background(), u, nil)); err != nil {
					rt.Fatal(err)
				}
			case 4:
				p.append(rt, s, p.many(pick("room", 3)))
			default:
				batch := make([]chat.Draft, rapid.IntRange(1, 12).Draw(rt, "drafts"))
				for i := range batch {
					batch[i] = chat.Draft{
						Room: p.room(pick("room", 3)), Author: chat.User{ID: p.author(pick("author", 3)), Name: "first name"},
						Nonce: fmt.Sprint(pick("nonce", 40)), Text: fmt.Sprint("text ", pick("text", 10)/9),
						At: time.UnixMilli(int64(pick("at", 100))).UTC(), Create: pick("create", 4) > 0,
					}
				}
				forgetful(rt, s, 1+pick("file at", 9), 4096*pick("bound", 2))
				p.append(rt, s, batch)
			}
		}
		for room := range 3 {
			for _, s := range p.peers {
				got, err := s.Messages(context.Background(), p.room(room), chat.Newest(1000))
				if err != nil {
					rt.Fatal(err)
				}
				wanted, err := p.want.Messages(context.Background(), p.room(room), chat.Newest(1000))
				if diff := cmp.Diff(wanted, got); err != nil || diff != "" {
					rt.Fatalf("room %d: %v (-want +got):\n%s", room, err, diff)
				}
			}
		}
	})
	filedOnce(t, p.peers[0])
}

// filedOnce wants the nonces of the first messages of each room to be filed, each
// once, up to where the room says, and those of no other.
func filedOnce(t *testing.T, s *Store) {
	t.Helper()
	forgetful(t, s, fileAt, knownBytes) // on a connection that works
	type filed struct {
		room int64
		nonceOf
		seq int64
	}
	got, want := make(map[filed]int), make(map[filed]int)
	type row struct{ room, filed, author int64 }
	rowsOf := func(query string) (all []row) {
		t.Helper()
		rows, err := s.writer.conn.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.room, &r.filed, &r.author); err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, r := range rowsOf(`SELECT id, filed, 0 FROM rooms`) {
		err := s.writer.eachMessage(t.Context(), r.room, 0, r.filed, func(m chat.Message) {
			want[filed{r.room, nonceOf{m.Author.ID, keyOf(m.Nonce)}, m.Seq}]++
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range rowsOf(`SELECT DISTINCT room_id, 0, author_id FROM nonces`) {
		a := &appending{w: s.writer}
		err := a.eachFiled(t.Context(), []any{r.room, r.author}, func(who inRoom, key uint64, seq int64) {
			got[filed{who.room, nonceOf{who.author, key}, seq}]++
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(want) == 0 || !maps.Equal(want, got) {
		t.Errorf("%d nonces are filed, not %d, or others", len(got), len(want))
	}
}

// What a server missed while others appended: it has not been told any of it.
func TestAServerThatWasAway(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	for i, c := range []struct {
		name   string
		count  int // messages of the other
		fileAt int // of the other
	}{
		{"for one message", 1, fileAt},
		{"for fewer messages than are filed at once", 100, fileAt},
		{"for as many as it reads at most", fileAt - 1, 1 << 30},
		{"for more than it reads", fileAt, 1 << 30},
		{"while the other filed the room", 10, 1},
		{"while the other filed more of the room than it reads", 3*fileAt + 7, fileAt},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := inSchemaOf(server, fmt.Sprint("away", i))
			away, other := openPeer(t, url), openPeer(t, url)
			// "both" has posted at both, and is known at both; the other one only elsewhere.
			draft := func(author int, nonce string) chat.Draft {
				return chat.Draft{Room: "lobby", Author: chat.User{ID: chat.UserID(author), Name: "Ann"}, Nonce: nonce, Text: "text", At: time.UnixMilli(1).UTC(), Create: true}
			}
			seqs := make(map[chat.Draft]int64)
			post := func(s *Store, batch ...chat.Draft) {
				t.Helper()
				results, err := s.Append(t.Context(), batch)
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range results {
					seq, repeated := seqs[batch[i]]
					if !repeated {
						seq = int64(len(seqs) + 1)
						seqs[batch[i]] = seq
					}
					if r.Err != nil || r.Duplicate != repeated || r.Message.Seq != seq {
						t.Fatalf("%+v: %+v; want number %d, a duplicate: %v", batch[i], r, seq, repeated)
					}
				}
			}
			post(away, draft(1, "first"))
			post(other, draft(1, "second"))
			for _, s := range []*Store{away, other} {
				forgetful(t, s, c.fileAt, knownBytes)
			}
			batch := make([]chat.Draft, c.count)
			for i := range batch {
				batch[i] = draft(1+i%2, fmt.Sprint("missed ", i))
			}
			post(other, batch...)
			post(away, draft(1, "first"), draft(1, "second"), batch[0], batch[c.count/2], batch[c.count-1], draft(1, "new"), draft(2, "new"), draft(3, "new"))
			post(other, draft(1, "new"), draft(2, "new"), draft(3, "new"), draft(1, "newer"))
			post(away, append(batch, draft(1, "newer"), draft(2, "newer"))...)
		})
	}
}

// Servers append to the same rooms at once, with the same nonces, while they file
// and forget rooms at almost every commit and lose connections.
func TestServersThatKnowLittleAppendAtOnce(t *testing.T) {
	t.Parallel()
	const rooms, authors, nonces, senders, rounds = 3, 4, 60, 3, 40
	server := parts.Postgres(t)
	url := inSchemaOf(server, "together")
	type said struct{ room, author, nonce int }
	var mu sync.Mutex
	seqs, fresh := make(map[said]int64), make(map[said]int)
	var wg sync.WaitGroup
	var stores []*Store
	for n := range 3 {
		s := openPeer(t, url)
		stores = append(stores, s)
		for k := range senders {
			random := rand.New(rand.NewPCG(uint64(n), uint64(k)))
			wg.Go(func() {
				for range rounds {
					forgetful(failing{t}, s, 1+random.IntN(30), 8192*random.IntN(2))
					var batch []chat.Draft
					var what []said
					for range 1 + random.IntN(8) {
						d := said{random.IntN(rooms), 1 + random.IntN(authors), random.IntN(nonces)}
						what = append(what, d)
						batch = append(batch, chat.Draft{
							Room: fmt.Sprint("room ", d.room), Author: chat.User{ID: chat.UserID(d.author), Name: "Ann"},
							Nonce: fmt.Sprint(d.nonce), Text: fmt.Sprint(d), At: time.UnixMilli(1), Create: true,
						})
					}
					results, err := s.Append(t.Context(), batch)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for i, r := range results {
						seq, known := seqs[what[i]]
						if r.Err != nil || known && seq != r.Message.Seq || r.Message.Text != batch[i].Text {
							t.Errorf("%+v: %+v; answered with %d before", what[i], r, seq)
						}
						if seqs[what[i]] = r.Message.Seq; !r.Duplicate {
							fresh[what[i]]++
						}
					}
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	for d, n := range fresh {
		if n != 1 {
			t.Errorf("%+v was new %d times", d, n)
		}
	}
	stored := 0
	for room := range rooms {
		p, err := stores[0].Messages(t.Context(), fmt.Sprint("room ", room), chat.Newest(10_000))
		if err != nil || int64(len(p.Messages)) != p.LastSeq {
			t.Fatalf("room %d: %d messages, %v", room, len(p.Messages), err)
		}
		stored += len(p.Messages)
		for _, m := range p.Messages {
			var d said
			if _, err := fmt.Sscanf(m.Text, "{%d %d %d}", &d.room, &d.author, &d.nonce); err != nil {
				t.Fatal(err)
			}
			if d.room != room || m.Author.ID != chat.UserID(d.author) || m.Nonce != fmt.Sprint(d.nonce) || seqs[d] != m.Seq {
				t.Errorf("%+v is stored, answered as %d", m, seqs[d])
			}
		}
	}
	if stored != len(seqs) {
		t.Errorf("%d messages are stored, %d were answered", stored, len(seqs))
	}
	filedOnce(t, stores[0])
}

// failing is a test as goroutines of its own see it.
type failing struct{ t *testing.T }

func (f failing) Fatal(what ...any) { f.t.Error(what...) }

// What is known is of a session. When that has ended, whatever ended it, the
// database may be another, or have changed in ways that no server changes it.
func TestWhatIsKnownGoesWithTheSession(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	draft := func(nonce string) []chat.Draft {
		return []chat.Draft{{Room: "lobby", Author: chat.User{ID: 1, Name: "Ann"}, Nonce: nonce, Text: "text", Create: true}}
	}
	post := func(t *testing.T, s *Store, nonce string, seq int64, duplicate bool) {
		t.Helper()
		r, err := s.Append(t.Context(), draft(nonce))
		if err != nil || r[0].Err != nil || r[0].Message.Seq != seq || r[0].Duplicate != duplicate {
			t.Fatalf("%s: %+v %v; want number %d, a duplicate: %v", nonce, r, err, seq, duplicate)
		}
	}
	t.Run("killed between two posts", func(t *testing.T) {
		s := openPeer(t, inSchemaOf(server, "between"))
		post(t, s, "one", 1, false)
		post(t, s, "two", 2, false)
		kill(t, server, s.writer.session)
		server.Must("postgres", `UPDATE between.chunks SET messages = replace(messages, '"two"', '"other"')`)
		post(t, s, "other", 2, true)
		post(t, s, "two", 3, false)
	})
	t.Run("killed after a post was numbered", func(t *testing.T) {
		url := inSchemaOf(server, "numbered")
		s, other := openPeer(t, url), openPeer(t, url)
		post(t, s, "one", 1, false)
		release, writing := blockChunks(t, url), s.writer.session
		ended := make(chan error, 1)
		go func() {
			_, err := s.Append(t.Context(), draft("lost"))
			ended <- err
		}()
		awaitBlocked(server)
		kill(t, server, writing)
		if err := <-ended; !errors.Is(err, chat.ErrNotStored) {
			t.Fatal("an Append without a session: ", err)
		}
		release()
		post(t, other, "other", 2, false)
		post(t, s, "lost", 3, false)
		post(t, s, "other", 2, true)
		post(t, other, "lost", 3, true)
	})
}

// session is a session that is no store's.
func session(t *testing.T, url string) *sql.Conn {
	t.Helper()
	db, err := connectPostgres(new(Store), url, writing)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// blockChunks has all who store chunks wait until release.
func blockChunks(t *testing.T, url string) (release func()) {
	t.Helper()
	conn := session(t, url)
	exec(t, conn, `SET idle_in_transaction_session_timeout = 0; BEGIN; LOCK TABLE chunks IN SHARE MODE`)
	return func() { exec(t, conn, `ROLLBACK`) }
}

func exec(t *testing.T, conn *sql.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

// awaitBlocked waits until a session waits for another one.
func awaitBlocked(server *parts.PostgresServer) {
	for server.Must("postgres", `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'`) == "0" {
	}
}
