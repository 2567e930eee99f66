package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// remote is a database across a network, which has no rooms and takes all it is
// told. It may be silent, which is noticed only by giving up.
type remote struct {
	silent atomic.Value  // a string: what begins with it gets no answer
	slow   time.Duration // for a query; fixed
	opened atomic.Int64  // connections

	mu   sync.Mutex
	told []string // what it was to do; guarded by mu
}

func newRemote(slow time.Duration) *remote {
	r := &remote{slow: slow}
	r.silent.Store("nothing")
	return r
}

// answer waits until there is one.
func (r *remote) answer(ctx context.Context, what string) error {
	if strings.HasPrefix(what, r.silent.Load().(string)) {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (r *remote) Driver() driver.Driver { return nil }

func (r *remote) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	if err := r.answer(ctx, "CONNECT"); err != nil {
		return nil, err
	}
	r.opened.Add(1)
	return &remoteConn{remote: r}, nil
}

// remoteConn is lost, as those of pgx are, when an answer was not waited for.
type remoteConn struct {
	remote *remote
	lost   bool
}

func (c *remoteConn) IsValid() bool             { return !c.lost }
func (c *remoteConn) Begin() (driver.Tx, error) { return nil, driver.ErrSkip }
func (c *remoteConn) Close() error              { return nil }

func (c *remoteConn) Prepare(query string) (driver.Stmt, error) {
	return &remoteStmt{conn: c, query: query}, nil
}

func (c *remoteConn) ExecContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	c.remote.mu.Lock()
	c.remote.told = append(c.remote.told, query)
	c.remote.mu.Unlock()
	err := c.remote.answer(ctx, query)
	c.lost = c.lost || err != nil
	return driver.RowsAffected(1), err
}

type remoteStmt struct {
	conn  *remoteConn
	query string
}

func (s *remoteStmt) Close() error                               { return nil }
func (s *remoteStmt) NumInput() int                              { return -1 }
func (s *remoteStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (s *remoteStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }

func (s *remoteStmt) ExecContext(ctx context.Context, _ []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, nil)
}

func (s *remoteStmt) QueryContext(ctx context.Context, _ []driver.NamedValue) (driver.Rows, error) {
	err := s.conn.remote.answer(ctx, s.query)
	select {
	case <-time.After(s.conn.remote.slow):
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.conn.lost = s.conn.lost || err != nil
	return noRows{}, err
}

type noRows struct{}

func (noRows) Columns() []string         { return nil }
func (noRows) Close() error              { return nil }
func (noRows) Next([]driver.Value) error { return io.EOF }

// openRemote is a store on such a database.
func openRemote(t *testing.T, r *remote) *Store {
	t.Helper()
	s := &Store{dialect: postgres, mu: newTurn(), people: newTurn(), reading: newReaders(postgres.readers)}
	s.dialect.session = ""
	s.writes, s.reads = sql.OpenDB(r), sql.OpenDB(r)
	s.writes.SetMaxOpenConns(1)
	s.reads.SetMaxOpenConns(s.dialect.readers)
	s.reads.SetMaxIdleConns(s.dialect.readers)
	var err error
	if s.writer, err = newWriter(t.Context(), s.dialect, s.writes, ""); err == nil {
		err = s.queries.prepare(t.Context(), &s.dialect, s.reads)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func appendNothing(ctx context.Context, s *Store) error {
	_, err := s.Append(ctx, nil)
	return err
}

// failsIn wants f to fail, and in that time.
func failsIn(t *testing.T, doing string, want time.Duration, f func() error) error {
	t.Helper()
	start := time.Now()
	err := f()
	if took := time.Since(start); err == nil || took != want {
		t.Errorf("%s took %v, not %v: %v", doing, took, want, err)
	}
	return err
}

func TestADatabaseThatFallsSilentIsNoticedInSeconds(t *testing.T) {
	for name, c := range map[string]struct {
		silent        string // what it begins with gets no answer
		first, second time.Duration
		sure          bool // that nothing was stored
	}{
		"all":              {"", beginWithin + connectPatience, connectPatience, true},
		"new transactions": {"BEGIN", 2 * beginWithin, beginWithin, true},
		"what it is to do": {"UPDATE", postgresPatience, postgresPatience, true},
		"what it has done": {"COMMIT", postgresPatience, postgresPatience, false},
		"only connecting":  {"CONNECT", 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRemote(0)
				s := openRemote(t, r)
				r.silent.Store(c.silent)
				if c.first == 0 { // the connection it has is good
					if err := appendNothing(t.Context(), s); err != nil {
						t.Error(err)
					}
					return
				}
				for _, want := range []time.Duration{c.first, c.second} {
					err := failsIn(t, "an append", want, func() error { return appendNothing(t.Context(), s) })
					if errors.Is(err, chat.ErrNotStored) != c.sure {
						t.Errorf("whether something was stored: %v", err)
					}
				}
				r.silent.Store("nothing")
				if err := appendNothing(t.Context(), s); err != nil {
					t.Errorf("when it speaks again: %v", err)
				}
			})
		})
	}
}

func TestPostsDoNotWaitForRenamesOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(0)
		s := openRemote(t, r)
		r.silent.Store("")
		var wg sync.WaitGroup
		for i := range 120 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 300 * time.Millisecond)
				start := time.Now()
				err := s.SaveUser(t.Context(), chat.User{ID: chat.UserID(i + 1), Name: "Ann"}, nil)
				if took := time.Since(start); err == nil || took > beginWithin+connectPatience {
					t.Errorf("a rename took %v: %v", took, err)
				}
			})
		}
		for range 40 {
			time.Sleep(time.Second)
			start := time.Now()
			err := appendNothing(t.Context(), s)
			if took := time.Since(start); !errors.Is(err, chat.ErrNotStored) || took > beginWithin+connectPatience {
				t.Errorf("a post took %v: %v", took, err)
			}
		}
		wg.Wait()
	})
}

func TestOneRenameAtMostStandsBeforeAPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(0)
		s := openRemote(t, r)
		s.mu.Lock()
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				if err := s.SaveUser(t.Context(), chat.User{ID: chat.UserID(i + 1), Name: "Ann"}, nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		wg.Go(func() {
			if err := appendNothing(t.Context(), s); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		s.mu.Unlock()
		wg.Wait()
		var order []string
		for _, told := range r.told {
			if verb, _, _ := strings.Cut(told, " "); verb == "INSERT" || verb == "UPDATE" {
				order = append(order, verb)
			}
		}
		if len(order) != 6 || order[1] != "UPDATE" {
			t.Errorf("the order is %v", order)
		}
	})
}

func TestAWriteThatWaitsEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openRemote(t, newRemote(0))
		s.mu.Lock()
		defer s.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := failsIn(t, "an append", time.Second, func() error { return appendNothing(ctx, s) })
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, chat.ErrNotStored) {
			t.Error(err)
		}
		failsIn(t, "one that may take longer", postgresPatience/2, func() error { return appendNothing(t.Context(), s) })
	})
}

func TestReadsGivenUpCostNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(100 * time.Millisecond)
		s := openRemote(t, r)
		for range 20 {
			var wg sync.WaitGroup
			for range 3 * s.dialect.readers {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
					defer cancel()
					err := failsIn(t, "a read", 10*time.Millisecond, func() error { _, err := s.Rooms(ctx, 1); return err })
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			synctest.Wait()
			if got := s.Stats(); got.Reading > s.dialect.readers {
				t.Fatalf("what goes on without anybody is %+v", got)
			}
			if _, err := s.Rooms(t.Context(), 1); err != nil {
				t.Error(err)
			}
		}
		if n := r.opened.Load(); n > int64(s.dialect.readers)+1 {
			t.Errorf("%d connections were made", n)
		}
		if got := s.Stats(); got.Waits == 0 || got.Waited == 0 {
			t.Errorf("nobody waited: %+v", got)
		}
	})
}

func TestAStoreIsClosedWithoutWaitingForReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemote(0)
		s := openRemote(t, r)
		r.silent.Store("SELECT")
		var wg sync.WaitGroup
		for range 2 * s.dialect.readers { // half of them are waiting for a connection
			wg.Go(func() {
				failsIn(t, "a read", time.Second, func() error { _, err := s.Rooms(t.Context(), 1); return err })
			})
		}
		time.Sleep(time.Second)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if _, err := s.Rooms(t.Context(), 1); !errors.Is(err, errClosed) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestEachHostHasItsPartOfTheTimeToConnect(t *testing.T) {
	for hosts, want := range map[string]time.Duration{
		"a":                           4 * time.Second,
		"a:1,a:2":                     2 * time.Second,
		"a:1,b:1,c:1,d:1":             time.Second,
		"a,b,c,d,e,f,g,h,i,j,k,l,m,n": (postgresPatience - beginWithin) / 14,
	} {
		for _, options := range []string{"", "?sslmode=disable"} {
			config, err := parseAddress("postgres://ann@" + hosts + "/tea" + options)
			if err != nil {
				t.Fatal(err)
			}
			if got := connectWithin(config); got != want {
				t.Errorf("%s%s: %v each, not %v", hosts, options, got, want)
			}
		}
	}
}
