package sqlstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// IsPostgres says that an address given to Open is one of PostgreSQL.
func IsPostgres(at string) bool {
	return strings.HasPrefix(at, "postgres://") || strings.HasPrefix(at, "postgresql://")
}

// Place is what may be told of an address given to Open: of PostgreSQL, the
// hosts, their ports and the database that it leads to, and of SQLite the path.
// Of an address that cannot be read it shows nothing.
func Place(at string) string {
	if !IsPostgres(at) {
		return at
	}
	config, err := parseAddress(at)
	if err != nil {
		return "the address given"
	}
	database := config.Database
	if database == "" {
		database = config.User // as PostgreSQL chooses
	}
	var hosts []string
	for _, f := range append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port}}, config.Fallbacks...) {
		host := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port)))
		if strings.HasPrefix(f.Host, "/") {
			host = url.PathEscape(f.Host) + ":" + strconv.Itoa(int(f.Port)) // the folder of a socket, as PostgreSQL writes it
		}
		if !slices.Contains(hosts, host) { // there are two tries where TLS is as the server likes
			hosts = append(hosts, host)
		}
	}
	return "postgres://" + strings.Join(hosts, ",") + "/" + url.PathEscape(database)
}

// CheckAddress finds what can be wrong with an address of PostgreSQL before
// anybody connects to it: with ErrAddress.
func CheckAddress(at string) error {
	if !IsPostgres(at) {
		return nil
	}
	if _, err := parseAddress(at); err != nil {
		return explainPostgres(at, err)
	}
	return nil
}

// parseAddress reads an address as pgx does. Its errors are ErrAddress and say
// what is wrong in words of ours: those of pgx quote the address, and cannot
// always know which part of it is the password.
func parseAddress(at string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(at)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrAddress, mistake(err))
	}
	if misplaced(at) {
		return nil, fmt.Errorf("%w: there is an @ too many", ErrAddress)
	}
	return config, nil
}

// misplaced says that there is an @ behind the one that ends the password, or
// behind the first slash: one of the two was in the password, and part of it
// would now be taken for a host, a database or a setting. Names of users and
// passwords that stand in the query may have one.
func misplaced(at string) bool {
	_, rest, _ := strings.Cut(at, "://")
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		rest = rest[i+1:]
	}
	rest, query, _ := strings.Cut(rest, "?")
	if strings.Contains(rest, "@") {
		return true
	}
	for setting := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(setting, "=")
		if strings.Contains(setting, "@") && name != "user" && name != "password" {
			return true
		}
	}
	return false
}

// mistakes are what pgx says of an address, by how it begins, in words that
// quote nothing.
var mistakes = []struct{ theirs, ours string }{
	{"failed to parse as URL", "it cannot be taken apart"},
	{"invalid port", "a port is not a number from 1 to 65535"},
	{"could not match", "give one port for all hosts or one for each"},
	{"failed to configure TLS (sslmode is invalid", "sslmode is disable, allow, prefer, require, verify-ca or verify-full"},
	{"failed to configure TLS (both", "sslcert and sslkey go together"},
	{"failed to configure TLS (unable to read CA", "the file of sslrootcert cannot be read"},
	{"failed to configure TLS (unable to add CA", "the file of sslrootcert holds no certificate"},
	{"failed to configure TLS (unable to read sslkey", "the file of sslkey cannot be read"},
	{"failed to configure TLS (failed to decode sslkey", "the file of sslkey holds no key"},
	{"failed to configure TLS (unable to find sslpassword", "the key of sslkey has a password: say sslpassword"},
	{"failed to configure TLS (unable to decrypt key", "sslpassword is not that of the key of sslkey"},
	{"failed to configure TLS (unable to read cert", "the file of sslcert cannot be read"},
	{"failed to configure TLS (unable to load cert", "the files of sslcert and sslkey do not belong together"},
	{"failed to configure TLS", "its settings of TLS are not valid"},
	{"failed to read service", "its service is not in the service file"},
	{"invalid connect_timeout", "connect_timeout is a number of seconds"},
	{"invalid sslcertmode", "sslcertmode is disable, allow or require"},
	{"unknown target_session_attrs", "target_session_attrs is any, primary, read-write, read-only, standby or prefer-standby"},
	{"unknown channel_binding", "channel_binding is disable, prefer or require"},
}

// mistake says what is wrong with an address, by an error of pgx.
func mistake(err error) string {
	said := err.Error() // "cannot parse `ADDRESS`: WHAT (WHY)"
	said = said[strings.LastIndex(said, "`: ")+len("`: "):]
	for _, m := range mistakes {
		if !strings.HasPrefix(said, m.theirs) {
			continue
		}
		var path *fs.PathError
		if errors.As(err, &path) {
			return m.ours + ": " + path.Err.Error()
		}
		return m.ours
	}
	return "a setting after the ? is not valid"
}

// connector connects to PostgreSQL; its errors are unconnected.
type connector struct{ driver.Connector }

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	var failed *pgconn.ConnectError
	if errors.As(err, &failed) {
		return nil, &unconnected{causes: causesOf(failed.Unwrap()), err: err}
	}
	return conn, err
}

// unconnected is why no connection could be made, in few words: pgx tries each
// address of each host, with TLS and without, and tells all of it.
type unconnected struct {
	causes []cause // each once, at least one
	err    error
}

// cause is why one address of a server did not take a connection.
type cause struct{ at, why string }

func (u *unconnected) Unwrap() error { return u.err }

func (u *unconnected) Error() string {
	var all []string
	for _, c := range u.causes {
		if c.at != "" {
			c.why = c.at + ": " + c.why
		}
		all = append(all, c.why)
	}
	return strings.Join(all, ", ")
}

// needsTLS says that TLS alone kept the connection from being made.
func (u *unconnected) needsTLS() bool {
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return u.causes[0].why == noTLS || errors.As(u.err, &certificate) || errors.As(u.err, &authority) ||
		errors.As(u.err, &host) || errors.As(u.err, &invalid)
}

// noTLS is what pgx says of a server that has none. Where TLS is as the server
// likes, it says so too, and then what became of the connection without.
const noTLS = "the server has no TLS"

// causesOf brings the errors of all tries into an order: what a server said
// first, then what the network did; and that there is no TLS only where nothing
// else is known.
func causesOf(err error) []cause {
	var said, others, refused []cause
	for _, try := range triesOf(err) {
		c := causeOf(try)
		var fromServer *pgconn.PgError
		switch {
		case c.why == noTLS:
			refused = append(refused, c)
		case errors.As(try, &fromServer):
			said = append(said, c)
		default:
			others = append(others, c)
		}
	}
	all := append(said, others...)
	for _, c := range refused {
		if !slices.ContainsFunc(all, func(other cause) bool { return other.at == c.at }) {
			all = append(all, c)
		}
	}
	var once []cause
	for _, c := range all {
		if !slices.Contains(once, c) {
			once = append(once, c)
		}
	}
	return once
}

// triesOf takes joined errors apart.
func triesOf(err error) []error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if joined, ok := e.(interface{ Unwrap() []error }); ok {
			var all []error
			for _, part := range joined.Unwrap() {
				all = append(all, triesOf(part)...)
			}
			return all
		}
	}
	return []error{err}
}

// causeOf is what one try says: "ADDRESS (HOST): STEP: WHY".
func causeOf(err error) cause {
	c := cause{why: err.Error()}
	if at, step, ok := strings.Cut(c.why, "): "); ok {
		if at, _, ok := strings.Cut(at, " ("); ok {
			c = cause{at: at, why: step}
		}
	}
	var said *pgconn.PgError
	var network net.Error
	var number syscall.Errno
	var name *net.DNSError
	switch {
	case strings.HasSuffix(c.why, "server refused TLS connection"):
		c.why = noTLS
	case errors.As(err, &said):
		c.why = said.Error()
	case errors.As(err, &name):
		c.why = name.Error()
	case errors.As(err, &number):
		c.why = number.Error()
	case errors.Is(err, context.Canceled):
		c.why = context.Canceled.Error()
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout():
		c.why = "no answer in time"
	}
	c.why = strings.Join(strings.Fields(c.why), " ") // one line
	return c
}
