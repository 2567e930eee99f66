package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

const (
	envPrefix    = "TEAHOUSE_"
	sqliteScheme = "sqlite:"
	off          = "off"
)

// setting is one row of the table. Its name is the flag and the key in the
// file; the environment spells it TEAHOUSE_NAME with underscores.
type setting struct {
	name string
	arg  string // placeholder of the value in the help
	def  string // "" with list set is the empty list
	help string // one line for the help; starts in lower case, no full stop
	more string // sentences for docs/configuration.md; may be empty
	list bool   // takes several values
	set  func(*Config, []string) error
}

func (s setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

func (s setting) initial() []string {
	if s.list {
		return nil
	}
	return []string{s.def}
}

// inFile tells whether the setting may stand in the file; only the name of the
// file itself may not.
func (s setting) inFile() bool { return s.name != "config" }

// settings is the table, in the order of the help text.
var settings = []setting{
	{
		name: "listen", arg: "ADDRESS", def: "localhost:8080",
		help: "host:port to serve on; :8080 lets others in",
		more: "With the default only this computer can connect. `:8080` listens on every address, so that a phone in the same network can join; do that behind a reverse proxy with TLS when the network is not yours. Port 0 takes any free port.",
		set:  one(func(c *Config, v string) (err error) { c.Listen, err = address(v); return err }),
	},
	{
		name: "data", arg: "FOLDER", def: "./teahouse-data",
		help: "folder for everything that is kept; created when missing",
		more: "One server at a time may use a folder.",
		set:  one(setData),
	},
	{
		name: "store", arg: "STORE", def: "",
		help: "where messages are kept: sqlite:PATH or postgres://USER@HOST/NAME; empty is teahouse.db in the data folder",
		more: "A SQLite file belongs to one server at a time and must be on a local disk: network file systems break its locks. A PostgreSQL database (14 or newer, encoding UTF8) may be shared by several servers, which then are one chat; give them the same `--layer` of Redis or NATS too, or people on one server see what is said on another up to 5 s late. Forms: `postgres://user:password@host:5432/name?sslmode=verify-full`, several hosts with commas between, of which the one that can be written is used; `postgresql://` is the same. Put the URL into the environment or the file when it holds a password: others on the machine can read flags.",
		set:  one(setStore),
	},
	{
		name: "layer", arg: "LAYER", def: Memory,
		help: "how events reach other processes: memory (not at all), redis://HOST, redis+pubsub://HOST or nats://HOST",
		more: layerMore,
		set:  one(setLayer),
	},
	{
		name: "django-rooms", arg: "PATTERN", list: true,
		help: "rooms shared with a Django site on the same --layer, such as lobby or team-*; may be repeated",
		more: djangoMore,
		set:  setDjangoRooms,
	},
	{
		name: "django-name", arg: "NAME", def: "Django",
		help: "author of the messages that Django sends",
		set:  one(setDjangoName),
	},
	{
		name: "django-usernames", arg: "on|off", def: off,
		help: "messages from Django that have a username are by that person",
		more: "Switch it on only if Django checks who says what. A name that nobody may have here, such as admin, or that is longer than 32 characters, is replaced by `--django-name`. Each of them has the rate of a person here: what somebody says faster than that is not stored, but counted and logged; without this setting Django is slowed down instead, to the rate of the room. The tag of people who speak through Django begins with `via`, which no guest's does.",
		set:  one(func(c *Config, v string) (err error) { c.Django.Usernames, err = onOff(v); return err }),
	},
	{
		name: "origin", arg: "ORIGIN", list: true,
		help: "further origin whose pages may connect, such as https://example.org; may be repeated",
		more: "The server's own origin is always allowed. Name scheme, host and port exactly as the browser's address bar shows them. Several are given by repeating the flag, by commas in the environment, or by an array in the file.",
		set:  setOrigins,
	},
	{
		name: "base-url", arg: "URL", def: "",
		help: "public address in invitations, such as https://chat.example.org; empty takes the visitor's",
		more: "Set it behind a reverse proxy: its host is one that this server answers for, and with https the cookies are for https alone. It is an allowed origin too.",
		set:  one(setBaseURL),
	},
	{
		name: "trusted-proxy", arg: "ADDRESS", list: true,
		help: "address or network of a reverse proxy whose X-Forwarded headers are believed; may be repeated",
		more: proxiesMore,
		set:  setTrustedProxies,
	},
	{
		name: "limits", arg: "on|off|N", def: "on",
		help: "limits of rates and of sockets per address and person; 10 allows an address ten times as much; off is for benchmarks",
		more: limitsMore,
		set:  one(setLimits),
	},
	{
		name: "backlog", arg: "SIZE", def: "256MiB",
		help: "memory for what waits for slow clients together; above it the slowest are cut",
		more: "Bytes with a unit (KiB, MiB, GiB, or KB, MB, GB), from 1MiB to 1024GiB. One client is cut at 1 MiB in any case. Who is cut (close code 4408) comes back and gets what it has missed. The memory in use can be up to three times as much for moments; `teahouse_backlog_bytes` and `teahouse_shed_total` of the metrics tell how near it is.",
		set:  one(func(c *Config, v string) (err error) { c.Backlog, err = size(v, 1<<20, 1<<40); return err }),
	},
	{
		name: "drain", arg: "TIME", def: auto,
		help: "how long a stop goes on serving while its clients move to other servers, such as 10s; auto asks the store",
		more: drainMore,
		set:  one(setDrain),
	},
	{
		name: "admin", arg: "ADDRESS", def: off,
		help: "host:port of a second listener with /metrics and /debug/pprof; off is none",
		more: "It has no login: keep it on localhost or in a private network. On localhost it answers for localhost, for IP addresses and for the host that this setting names, but for no other name, so that no web page can read it through a browser on the machine (DNS rebinding). On another address, such as `:9090` or `10.0.0.5:9090`, `/metrics` answers under any name, for Prometheus elsewhere; `/debug/pprof` still does not. `/healthz` and `/readyz` are here too, under any name.",
		set:  one(setAdmin),
	},
	{
		name: "log-level", arg: "LEVEL", def: "info",
		help: "least severe level that is logged: debug, info, warn or error",
		set:  one(setLogLevel),
	},
	{
		name: "log-format", arg: "FORMAT", def: "text",
		help: "text for people or json for machines",
		set:  one(setLogFormat),
	},
	{
		name: "config", arg: "FILE", def: "",
		help: "TOML file with any of these settings",
		more: "Only a flag or the environment can name the file.",
		set:  one(func(c *Config, v string) error { c.File = v; return nil }),
	},
}

// one adapts a setting that takes a single value.
func one(set func(*Config, string) error) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		if len(values) != 1 {
			return errors.New("takes one value, not a list")
		}
		return set(c, values[0])
	}
}

func setData(c *Config, v string) error {
	if v == "" {
		return errors.New("is empty: name a folder, such as ./teahouse-data")
	}
	if strings.Contains(v, "://") || strings.HasPrefix(v, sqliteScheme) {
		return errors.New("is no folder but the address of a store: did you mean --store?")
	}
	c.Data = v
	return nil
}

func setStore(c *Config, v string) error {
	path, isSQLite := strings.CutPrefix(v, sqliteScheme)
	switch {
	case isPostgres(v):
		if rest := v[strings.Index(v, "://")+len("://"):]; rest == "" {
			return errors.New("names no database: say postgres://USER:PASSWORD@HOST:5432/NAME")
		}
	case v != "" && !isSQLite:
		return fmt.Errorf("%s: say sqlite:PATH or postgres://USER:PASSWORD@HOST:5432/NAME, or leave it out for teahouse.db in the data folder", noStore(v))
	case isSQLite && path == "":
		return errors.New("has no path: say sqlite:PATH, such as sqlite:/var/lib/teahouse/teahouse.db")
	case isSQLite && schemeOf(path) != "":
		return fmt.Errorf("has an address behind sqlite:, where a path belongs: say sqlite:PATH, or %s://… alone", schemeOf(path))
	}
	c.Store = v
	return nil
}

// noStore says that something is no store, without any secret in it.
func noStore(v string) string {
	switch scheme := schemeOf(v); {
	case scheme != "":
		return fmt.Sprintf("%q is not supported", scheme+":")
	case isWord(v):
		return fmt.Sprintf("%q is not supported", v)
	}
	return "is not the address of a store"
}

func isPostgres(store string) bool {
	return strings.HasPrefix(store, "postgres://") || strings.HasPrefix(store, "postgresql://")
}

func setOrigins(c *Config, values []string) error {
	c.Origins = nil
	for i, v := range values {
		o, err := origin(v)
		if err != nil && len(values) > 1 {
			return fmt.Errorf("number %d %w", i+1, err)
		}
		if err != nil {
			return err
		}
		c.Origins = append(c.Origins, o)
	}
	return nil
}

func setBaseURL(c *Config, v string) error {
	if v != "" {
		o, err := origin(v)
		if err != nil {
			return err
		}
		v = o
	}
	c.BaseURL = v
	return nil
}

// onOff reads a switch.
func onOff(v string) (bool, error) {
	switch v {
	case "on", "true":
		return true, nil
	case off, "false":
		return false, nil
	}
	return false, fmt.Errorf("is %s: say on or off", Quote(v))
}

func setAdmin(c *Config, v string) (err error) {
	if v == off || v == "false" {
		c.Admin = ""
		return nil
	}
	if c.Admin, err = address(v); err != nil {
		return fmt.Errorf("%w; or say off", err)
	}
	return nil
}

func setLogLevel(c *Config, v string) error {
	switch v {
	case "debug", "info", "warn", "error":
		return c.LogLevel.UnmarshalText([]byte(v))
	}
	return fmt.Errorf("is %s: say debug, info, warn or error", Quote(v))
}

func setLogFormat(c *Config, v string) error {
	if v != "text" && v != "json" {
		return fmt.Errorf("is %s: say text or json", Quote(v))
	}
	c.LogFormat = v
	return nil
}

// address checks host:port without looking the host up, which is for the
// listener to do.
func address(v string) (string, error) {
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		if n, nerr := strconv.ParseUint(v, 10, 16); nerr == nil {
			return "", fmt.Errorf("is %q: put a colon before the port, as in :%d or localhost:%d", v, n, n)
		}
		return "", fmt.Errorf("is %s: say host:port, such as localhost:8080 or :8080", Quote(v))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("is %s: the port must be a number from 0 to 65535", Quote(v))
	}
	return v, nil
}

// origin brings an origin into the one spelling that browsers send: lower case,
// no default port, nothing after the host. Errors do not repeat the value,
// since people paste URLs that hold passwords.
func origin(v string) (string, error) {
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return "", errors.New("is not a web address: say scheme://host, such as https://chat.example.org")
	}
	if u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("holds more than scheme, host and port: say only those, such as https://chat.example.org")
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.ContainsAny(host, "*,") {
		return "", errors.New("holds a wildcard or a list: name each origin exactly")
	}
	if port == "" && strings.HasSuffix(u.Host, ":") {
		return "", errors.New("has a colon but no port: say scheme://host or scheme://host:port")
	}
	if _, err := strconv.ParseUint(port, 10, 16); port != "" && err != nil {
		return "", errors.New("has a port that is not a number from 0 to 65535")
	}
	if (u.Scheme == "http" && port == "80") || (u.Scheme == "https" && port == "443") {
		port = ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}
