package parts

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// PostgresServer is a PostgreSQL server, or one between two runs. It is durable
// as servers are (fsync is on), has a Unix socket and no port, and trusts its
// users, except those of the group "locked", who need their passwords.
type PostgresServer struct {
	*Process

	// fixed
	Folder string // of its socket
	port   string // part of the socket's name
	psql   string
}

// PostgresUser is the superuser of a PostgresServer.
const PostgresUser = "owner"

// Postgres starts a PostgreSQL server with one empty database, "postgres", and
// waits until it answers. Settings are like "max_connections=20".
func Postgres(tb testing.TB, settings ...string) *PostgresServer {
	tb.Helper()
	bin := postgresFolder(tb)
	s := &PostgresServer{Folder: folder(tb), port: "5432", psql: filepath.Join(bin, "psql")}
	account, err := unprivileged()
	if err != nil {
		Lacking(tb, err.Error())
	}
	if account != nil {
		if err := os.Chown(s.Folder, account.uid, account.gid); err != nil {
			tb.Fatal(err)
		}
	}
	cluster := filepath.Join(s.Folder, "cluster")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", cluster, "--username", PostgresUser,
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--auth", "trust", "--no-sync")
	initdb.Dir = s.Folder
	runAs(initdb, account)
	if out, err := initdb.CombinedOutput(); err != nil {
		tb.Fatalf("make a PostgreSQL cluster: %v\n%s", err, out)
	}
	const rules = "local all +locked scram-sha-256\nlocal all all trust\n"
	if err := os.WriteFile(filepath.Join(cluster, "pg_hba.conf"), []byte(rules), 0o600); err != nil {
		tb.Fatal(err)
	}
	argv := []string{filepath.Join(bin, "postgres"), "-D", cluster, "-k", s.Folder, "-p", s.port, "-c", "listen_addresses="}
	for _, setting := range settings {
		argv = append(argv, "-c", setting)
	}
	s.Process = NewProcess(tb, argv, nil)
	s.account, s.dir = account, s.Folder
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	if err := s.answers(); err != nil {
		tb.Fatalf("start PostgreSQL: %v\n%s", err, s.log.tail())
	}
	s.Must("postgres", "CREATE ROLE locked")
	return s
}

// postgresFolder is where the newest server's programs are: Debian keeps them
// beside each other, out of the path.
func postgresFolder(tb testing.TB) string {
	tb.Helper()
	newest, folder := 0, ""
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // only a bad pattern fails
	for _, program := range found {
		bin := filepath.Dir(program)
		if version, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && version > newest {
			newest, folder = version, bin
		}
	}
	if folder == "" {
		folder = filepath.Dir(Program(tb, "postgres"))
	}
	return folder
}

// URL is the address of a database of this server, with options like
// "search_path=a".
func (s *PostgresServer) URL(database string, options ...string) string {
	query := url.Values{"host": {s.Folder}, "port": {s.port}}
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		query.Set(name, value)
	}
	return (&url.URL{Scheme: "postgres", User: url.User(PostgresUser), Path: "/" + database, RawQuery: query.Encode()}).String()
}

// Dial connects to the server's socket, as a proxy does.
func (s *PostgresServer) Dial() (net.Conn, error) {
	return net.Dial("unix", filepath.Join(s.Folder, ".s.PGSQL."+s.port))
}

// Do runs statements in a database by psql and returns the rows, one in a line,
// columns parted by "|", without the last newline. Any goroutine may call it.
func (s *PostgresServer) Do(database, statements string) (string, error) {
	out, err := exec.Command(s.psql, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
		"--set", "ON_ERROR_STOP=1", "--dbname", s.URL(database), "--command", statements).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql %s: %w: %s", statements, err, out)
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// Must is Do for what cannot fail; the test does.
func (s *PostgresServer) Must(database, statements string) string {
	s.tb.Helper()
	out, err := s.Do(database, statements)
	if err != nil {
		s.tb.Fatal(err)
	}
	return out
}

// Restart ends the server, if it runs, by a signal, and starts it anew: SIGINT
// cuts its clients and writes everything down, SIGQUIT is a crash after which it
// recovers from its log.
func (s *PostgresServer) Restart(by syscall.Signal) {
	s.tb.Helper()
	if s.Alive() {
		s.Signal(by)
		_ = s.Wait() // its exit code says how it was ended
	}
	if err := s.Start(); err != nil {
		s.tb.Fatal(err)
	}
	if err := s.answers(); err != nil {
		s.tb.Fatalf("restart PostgreSQL: %v\n%s", err, s.log.tail())
	}
}

// answers waits until the server answers a query.
func (s *PostgresServer) answers() error {
	var err error
	for end := time.Now().Add(Patience); s.Alive() && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err = os.Stat(filepath.Join(s.Folder, ".s.PGSQL."+s.port)); err != nil {
			continue
		}
		if _, err = s.Do("postgres", "SELECT 1"); err == nil {
			return nil
		}
	}
	return fmt.Errorf("PostgreSQL in %s did not answer: %w", s.Folder, err)
}
