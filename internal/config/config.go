// Package config is everything an operator can set, in one table.
//
// A setting has one name, and four places give it a value; the first that does
// wins: the flag (--log-level), the environment (TEAHOUSE_LOG_LEVEL), the key of
// an optional TOML file (log-level, see --config), the default. The same table
// writes the help text and docs/configuration.md, so none of them can be wrong
// about another.
//
// A name nobody knows is an error wherever it stands, with the nearest name as
// a suggestion: a misspelt setting that is silently ignored is found out in
// production. Every error is one sentence that says what to do, and repeats no
// value that may hold a password.
package config

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
)

// Config is a complete and checked set of values. The zero value is not one:
// take it from Load or Default.
type Config struct {
	Listen         string         // host:port of the chat; an empty host is every address
	Data           string         // folder for everything kept on disk; may not exist yet
	Store          string         // "", "sqlite:" and a path, or a URL of PostgreSQL; see StoreAt
	Layer          string         // Memory, or a URL as redis.ParseURL or nats.ParseURL reads it
	Django         Django         // rooms that a Django site shares
	LogLevel       slog.Level     // least severe level written
	LogFormat      string         // "text" or "json"
	Origins        []string       // further allowed origins, as browsers spell them: scheme://host[:port] in lower case
	BaseURL        string         // public address without a trailing slash; "" is what the request says
	TrustedProxies []netip.Prefix // networks of reverse proxies, masked; nil is none
	Limits         bool           // false switches off every rate and every count of sockets
	PerAddress     int            // multiplies the limits that count by network address; 1 unless Limits are to be wider
	Backlog        int64          // bytes that may wait for slow clients together, at least 1 MiB
	Drain          time.Duration  // of a stop, see DrainTime; negative is for the store to say
	Admin          string         // host:port of metrics; "" is off
	File           string         // file that was read; "" is none
}

// Memory is the Layer of a single process.
const Memory = "memory"

// Django is what a Django site on the same layer shares with this server.
type Django struct {
	Rooms     []string // patterns as in path.Match; none is off
	Name      string   // author of what Django sends
	Usernames bool     // the site's usernames are authors
}

// Default is what Load gives when nothing is set.
func Default() Config {
	var c Config
	for _, s := range settings {
		if err := s.set(&c, s.initial()); err != nil {
			panic("config: the default of " + s.name + " is not valid: " + err.Error())
		}
	}
	return c
}

// PostgreSQL says that the store is a database that several servers may share.
func (c Config) PostgreSQL() bool { return isPostgres(c.Store) }

// StoreAt is where the store is: the URL of PostgreSQL, which may hold a
// password, or the path of SQLite's file, which is teahouse.db in Data unless
// Store names another.
func (c Config) StoreAt() string {
	if c.PostgreSQL() {
		return c.Store
	}
	if path, ok := strings.CutPrefix(c.Store, sqliteScheme); ok {
		return path
	}
	return filepath.Join(c.Data, "teahouse.db")
}
