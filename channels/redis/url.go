package redis

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// host is one entry of Options.Hosts.
type host struct {
	name    string   // for logs: the URL without credentials and parameters
	network string   // "tcp" or "unix"
	addrs   []string // of the server, or of the Sentinels
	master  string   // what the Sentinels call the server; "" without Sentinels
	tls     bool
	db      int

	user, password                 string
	sentinelUser, sentinelPassword string
}

// rawURL is a URL taken apart and not yet understood. net/url does not know
// several addresses in one.
type rawURL struct {
	scheme   string // without +pubsub and +sentinel: redis, rediss or unix
	pubsub   bool
	sentinel bool
	user     string // user:password, as it stood; "" when there was no @
	addrs    string // a, or a,b
	path     string // with its slash
	params   []param
}

type param struct{ name, value string }

// Parameters of a host, and those of the layer.
var (
	hostParams  = []string{"db", "sentinel_username", "sentinel_password"}
	layerParams = []string{"format", "key", "prefix", "random_prefix", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
)

var betweenURLs = regexp.MustCompile(`[\s,]+([a-zA-Z+]+://)`)

// splitURLs separates URLs, by spaces, or by commas before a scheme.
func splitURLs(s string) []string {
	return strings.FieldsFunc(betweenURLs.ReplaceAllString(s, "\n$1"), func(r rune) bool {
		return r <= ' '
	})
}

func hasNoScheme(s string) bool { return !strings.Contains(s, "://") }

func parseURL(s string) (rawURL, error) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		return rawURL{}, errors.New("redis: a URL has no scheme; write for example redis://localhost:6379")
	}
	u := rawURL{}
	parts := strings.Split(scheme, "+")
	u.scheme = parts[0]
	for _, p := range parts[1:] {
		switch {
		case p == "pubsub" && !u.pubsub:
			u.pubsub = true
		case p == "sentinel" && !u.sentinel && u.scheme != "unix":
			u.sentinel = true
		default:
			u.scheme = ""
		}
	}
	if u.scheme != "redis" && u.scheme != "rediss" && u.scheme != "unix" {
		return rawURL{}, fmt.Errorf("redis: the scheme %.32q is unknown; known are redis, rediss and unix, "+
			"with +pubsub for the pub/sub format, and redis and rediss with +sentinel", scheme)
	}
	rest, query, _ := strings.Cut(rest, "?")
	if strings.Contains(query, "@") {
		// Most of what follows may be a password: it is in no error.
		return rawURL{}, errors.New("redis: an @ stands behind a question mark; in a user or a password write %3F for ?, in parameters %40 for @")
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		u.user, rest = rest[:at], rest[at+1:]
	}
	u.addrs, u.path = rest, ""
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		u.addrs, u.path = rest[:slash], rest[slash:]
	}
	if strings.Contains(","+u.addrs+",", ",,") && u.addrs != "" {
		return rawURL{}, fmt.Errorf("redis: between the commas of %.64q a host is missing", u.addrs)
	}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(value)
		if err != nil {
			return rawURL{}, fmt.Errorf("redis: the parameter %.32q is not percent-encoded as it must be", name)
		}
		if !slices.Contains(hostParams, name) && !slices.Contains(layerParams, name) {
			return rawURL{}, fmt.Errorf("redis: the parameter %.32q is unknown; known are %s",
				name, strings.Join(slices.Sorted(slices.Values(append(layerParams[:len(layerParams):len(layerParams)], hostParams...))), ", "))
		}
		u.params = append(u.params, param{name, decoded})
	}
	return u, nil
}

// kind is the scheme of an entry of Options.Hosts.
func (u rawURL) kind() string {
	if u.sentinel {
		return u.scheme + "+sentinel"
	}
	return u.scheme
}

// hosts are the entries of Options.Hosts that the URL stands for.
func (u rawURL) hosts() []string {
	addrs := strings.Split(u.addrs, ",")
	if u.sentinel {
		addrs = []string{u.addrs}
	}
	user := u.user
	if user != "" {
		user += "@"
	}
	query := url.Values{}
	for _, p := range u.params {
		if slices.Contains(hostParams, p.name) {
			query.Set(p.name, p.value)
		}
	}
	params := query.Encode()
	if params != "" {
		params = "?" + params
	}
	hosts := make([]string, len(addrs))
	for i, a := range addrs {
		hosts[i] = u.kind() + "://" + user + a + u.path + params
	}
	return hosts
}

// parseHost understands an entry of Options.Hosts.
func parseHost(s string) (host, error) {
	u, err := parseURL(s)
	if err != nil {
		return host{}, err
	}
	h := host{network: "tcp", tls: u.scheme == "rediss"}
	h.name = u.kind() + "://" + u.addrs + strings.TrimSuffix(u.path, "/")
	switch {
	case u.pubsub:
		return host{}, errors.New("redis: +pubsub is not for Options.Hosts; set Options.PubSub")
	case strings.Contains(u.addrs, ",") && !u.sentinel:
		return host{}, fmt.Errorf("redis: %s is several hosts; give Options.Hosts one entry for each", h.name)
	}
	if err := h.setUser(u.user); err != nil {
		return host{}, err
	}
	for _, p := range u.params {
		if err := h.set(p); err != nil {
			return host{}, err
		}
	}
	return h, h.setPlace(u)
}

func (h *host) setUser(s string) error {
	user, password, both := strings.Cut(s, ":")
	var err1, err2 error
	h.user, err1 = url.PathUnescape(user)
	h.password, err2 = url.PathUnescape(password)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("redis: %s: a percent sign in the user or the password must be written %%25", h.name)
	}
	if s != "" && !both {
		return fmt.Errorf("redis: %s: credentials are user:password@, or :password@ without a user", h.name)
	}
	return nil
}

func (h *host) set(p param) error {
	switch p.name {
	case "db":
		return h.setDB(p.value)
	case "sentinel_username":
		h.sentinelUser = p.value
	case "sentinel_password":
		h.sentinelPassword = p.value
	default:
		return fmt.Errorf("redis: %s: the parameter %s is of the whole layer, a field of Options", h.name, p.name)
	}
	return nil
}

func (h *host) setDB(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return fmt.Errorf("redis: %s: the database %.32q is not a number from 0", h.name, s)
	}
	h.db = n
	return nil
}

// setPlace reads the addresses and the path.
func (h *host) setPlace(u rawURL) error {
	if u.scheme == "unix" {
		path, err := url.PathUnescape(u.path)
		if u.addrs != "" || len(path) < 2 || err != nil {
			return fmt.Errorf("redis: %s: write unix:///path/to/socket, with three slashes", h.name)
		}
		h.network, h.addrs = "unix", []string{path}
		return nil
	}
	port := "6379"
	path := strings.Split(strings.Trim(u.path, "/"), "/")
	if u.sentinel {
		port = "26379"
		h.master, path = path[0], path[1:]
		if h.master == "" {
			return fmt.Errorf("redis: %s: the name the Sentinels know the server by is missing; write redis+sentinel://host:26379/name", h.name)
		}
	}
	switch {
	case len(path) == 1 && path[0] != "":
		if err := h.setDB(path[0]); err != nil {
			return err
		}
	case len(path) > 1:
		return fmt.Errorf("redis: %s: nothing may follow the number of the database", h.name)
	}
	for a := range strings.SplitSeq(u.addrs, ",") {
		addr, err := address(a, port)
		if err != nil {
			return fmt.Errorf("redis: %s: %w", h.name, err)
		}
		h.addrs = append(h.addrs, addr)
	}
	return nil
}

// address adds the default port.
func address(s, port string) (string, error) {
	name := s
	bracket := strings.LastIndexByte(s, ']')
	if colon := strings.LastIndexByte(s, ':'); colon > bracket {
		name, port = s[:colon], s[colon+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("the port %.32q is not a number from 1 to 65535", port)
	}
	ipv6 := strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]")
	if ipv6 {
		name = name[1 : len(name)-1]
	} else if strings.Contains(name, ":") {
		return "", errors.New("an IPv6 address needs brackets, [::1]:6379")
	}
	return net.JoinHostPort(cmp.Or(name, "localhost"), port), nil
}

// set takes a parameter of the layer.
func (o *Options) set(p param) error {
	switch p.name {
	case "prefix":
		if p.value == "" {
			return errors.New("redis: the prefix is empty; leave it out for asgi, which is the default of channels_redis")
		}
		o.Prefix = p.value
	case "format":
		o.Format = p.value
	case "key":
		o.Keys = append(o.Keys, p.value)
	case "random_prefix":
		n, err := strconv.Atoi(p.value)
		if err != nil || n < 1 {
			return fmt.Errorf("redis: random_prefix is %.32q; it may be 1 to 255, for without one equal messages become one", p.value)
		}
		o.RandomPrefix = n
	}
	return nil
}

func (o *Options) readTLS(ca, cert, key string) error {
	if ca == "" && cert == "" && key == "" {
		return nil
	}
	o.TLS = &tls.Config{}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("redis: read ssl_ca_certs: %w", err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("redis: ssl_ca_certs: %s has no certificate in PEM form", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, cmp.Or(key, cert))
		if err != nil {
			return fmt.Errorf("redis: read ssl_certfile and ssl_keyfile: %w", err)
		}
		o.TLS.Certificates = []tls.Certificate{pair}
	}
	_, err := o.checked()
	return err
}
