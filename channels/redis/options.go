package redis

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Options are what the processes of one layer share. All of them, Django's too,
// must have the same, except TLS and the credentials in Hosts. Zero fields
// stand for the values in brackets, which are channels_redis's. Capacity and
// expiry are those of channels.LayerOptions.
type Options struct {
	// Hosts are URLs, in the order that all processes have [redis://localhost:6379]:
	//
	//	redis://[user:password@]host[:6379][/db]
	//	rediss://…                                  the same over TLS
	//	unix://[user:password@]/path/to/socket[?db=0]
	//	redis+sentinel://[user:password@]host[:26379],host…/master[/db]
	//	rediss+sentinel://…
	//
	// User and password are the server's; Sentinels have sentinel_username and
	// sentinel_password, as parameters. Special characters are percent-encoded.
	Hosts []string

	PubSub bool     // New makes a PubSub, and not a Core
	Prefix string   // of all keys and of the Redis channels of groups ["asgi"]
	Keys   []string // Fernet encryption: the first encrypts, all decrypt [no encryption]
	Format string   // of bodies, "msgpack" or "json" ["msgpack"]

	// RandomPrefix is how many bytes stand before each body to tell equal ones
	// apart [12]. Only Core has them.
	RandomPrefix int

	TLS *tls.Config // for rediss hosts [the system's authorities]
}

// ParseURL reads Options from one text, as a flag or a variable has it: one or
// more URLs as in [Options].Hosts, with commas or spaces between. Servers that
// share everything but their address may also share a URL, redis://a,b:6380/0.
// Schemes with +pubsub (redis+pubsub, rediss+pubsub, unix+pubsub,
// redis+pubsub+sentinel, rediss+pubsub+sentinel) choose the pub/sub format.
//
// Parameters of the whole layer stand on any of the URLs, once: prefix, format,
// random_prefix, key (as often as there are keys), and the names of PEM files
// ssl_ca_certs, ssl_certfile and ssl_keyfile.
//
// Its errors are for whoever wrote the text, and never contain a password.
func ParseURL(s string) (Options, error) {
	var o Options
	set := map[string]string{}
	urls := splitURLs(s)
	if i := slices.IndexFunc(urls, hasNoScheme); i > 0 {
		return Options{}, errors.New("redis: what follows a space has no scheme; write %20 for a space in a URL")
	}
	for i, text := range urls {
		u, err := parseURL(text)
		if err != nil {
			return Options{}, err
		}
		if i > 0 && o.PubSub != u.pubsub {
			return Options{}, errors.New("redis: some of the URLs have +pubsub and some have not; all must speak the same format")
		}
		o.PubSub = u.pubsub
		for _, p := range u.params {
			if slices.Contains(hostParams, p.name) {
				continue
			}
			if _, twice := set[p.name]; twice && p.name != "key" {
				return Options{}, fmt.Errorf("redis: the parameter %s is given twice; it is of the whole layer", p.name)
			}
			set[p.name] = p.value
			if err := o.set(p); err != nil {
				return Options{}, err
			}
		}
		o.Hosts = append(o.Hosts, u.hosts()...)
	}
	if len(o.Hosts) == 0 {
		return Options{}, errors.New("redis: no URL; write for example redis://localhost:6379")
	}
	if _, err := o.checked(); err != nil {
		return Options{}, err
	}
	if err := o.readTLS(set["ssl_ca_certs"], set["ssl_certfile"], set["ssl_keyfile"]); err != nil {
		return Options{}, err
	}
	return o, nil
}

// Formats of bodies.
const (
	formatMsgpack = "msgpack"
	formatJSON    = "json"
)

const defaultRandomPrefix = 12

// settings are Options with nothing left to default, and their hosts parsed.
type settings struct {
	Options
	hosts []host
}

// checked fills in the defaults; its errors say what to change.
func (o Options) checked() (settings, error) {
	if len(o.Hosts) == 0 {
		o.Hosts = []string{"redis://localhost:6379"}
	}
	o.Prefix = cmp.Or(o.Prefix, "asgi")
	o.Format = cmp.Or(o.Format, formatMsgpack)
	s := settings{Options: o}
	secured := false
	for _, text := range o.Hosts {
		h, err := parseHost(text)
		if err != nil {
			return settings{}, err
		}
		secured = secured || h.tls
		s.hosts = append(s.hosts, h)
	}
	switch {
	case o.Format != formatMsgpack && o.Format != formatJSON:
		return settings{}, fmt.Errorf("redis: the format is %.32q; it may be msgpack or json", o.Format)
	case slices.Contains(o.Keys, ""):
		return settings{}, errors.New("redis: an encryption key is empty; leave it out for no encryption")
	case strings.ContainsFunc(o.Prefix, func(r rune) bool { return r <= ' ' || r == '!' || r == 0x7f }):
		return settings{}, fmt.Errorf("redis: the prefix is %.32q; it may have no spaces and no exclamation mark", o.Prefix)
	case o.PubSub && o.RandomPrefix != 0:
		return settings{}, errors.New("redis: the pub/sub format has no random prefix; leave random_prefix out")
	case o.RandomPrefix < 0 || o.RandomPrefix > 255:
		return settings{}, fmt.Errorf("redis: the random prefix has %d bytes; it may have 1 to 255", o.RandomPrefix)
	case o.TLS != nil && !secured:
		return settings{}, errors.New("redis: TLS is configured, but no host uses it; write rediss:// for those that do")
	}
	if !o.PubSub {
		s.RandomPrefix = cmp.Or(o.RandomPrefix, defaultRandomPrefix)
	}
	return s, nil
}
