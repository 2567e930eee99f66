package redis

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestURLsOfLayers(t *testing.T) {
	for text, want := range map[string]Options{
		"redis://localhost:6379":        {Hosts: []string{"redis://localhost:6379"}},
		"redis+pubsub://cache/2":        {Hosts: []string{"redis://cache/2"}, PubSub: true},
		"rediss+pubsub://cache":         {Hosts: []string{"rediss://cache"}, PubSub: true},
		"redis://:p%40ss@cache":         {Hosts: []string{"redis://:p%40ss@cache"}},
		"redis://cache?":                {Hosts: []string{"redis://cache"}},
		"redis://a,b:6380/3":            {Hosts: []string{"redis://a/3", "redis://b:6380/3"}},
		"redis://a/0,redis://a/1":       {Hosts: []string{"redis://a/0", "redis://a/1"}},
		"redis://a/0  redis://a/1\n":    {Hosts: []string{"redis://a/0", "redis://a/1"}},
		"redis://u:p@a,b,rediss://c":    {Hosts: []string{"redis://u:p@a", "redis://u:p@b", "rediss://c"}},
		"unix:///run/redis.sock?db=2":   {Hosts: []string{"unix:///run/redis.sock?db=2"}},
		"unix+pubsub:///run/redis.sock": {Hosts: []string{"unix:///run/redis.sock"}, PubSub: true},
		"redis+sentinel://a,b:1/main/2?sentinel_password=s": {
			Hosts: []string{"redis+sentinel://a,b:1/main/2?sentinel_password=s"}},
		"redis+pubsub+sentinel://a/main, redis+pubsub://b": {
			Hosts: []string{"redis+sentinel://a/main", "redis://b"}, PubSub: true},
		"redis://a?prefix=x%3A&key=one&key=two&format=json&random_prefix=4": {
			Hosts: []string{"redis://a"}, Prefix: "x:", Keys: []string{"one", "two"}, Format: "json", RandomPrefix: 4},
		"redis://a?key=one,redis://b?key=two": {Hosts: []string{"redis://a", "redis://b"}, Keys: []string{"one", "two"}},
	} {
		got, err := ParseURL(text)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
}

func TestAWrongURLSaysWhatToDo(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "write for example redis://localhost:6379",
		"localhost:6379":                       "has no scheme; write for example",
		"redis://:my secret@cache":             "write %20 for a space",
		"redis://:a?secret b@cache":            "write %20 for a space",
		"redis://:a?secret=b@cache":            "write %3F for ?",
		"redis://:a?db=secret@cache":           "write %3F for ?",
		"redis://:a@b?secret@cache":            "write %3F for ?",
		"redis://cache?key=sec@ret":            "in parameters %40 for @",
		"http://cache":                         `the scheme "http" is unknown; known are redis, rediss and unix`,
		"redis+tls://cache":                    `the scheme "redis+tls" is unknown`,
		"unix+sentinel:///x":                   `the scheme "unix+sentinel" is unknown`,
		"redis://cache:x":                      `redis://cache:x: the port "x" is not a number from 1 to 65535`,
		"redis://cache:0":                      `the port "0"`,
		"redis://cache:65536":                  `the port "65536"`,
		"redis://::1":                          "needs brackets, [::1]:6379",
		"redis://a,,b":                         "a host is missing",
		"redis://a,":                           "a host is missing",
		"redis://cache/main":                   `the database "main" is not a number from 0`,
		"redis://cache/-1":                     `the database "-1"`,
		"redis://cache/0/1":                    "nothing may follow the number of the database",
		"redis://secret@cache":                 "credentials are user:password@, or :password@",
		"redis://u:100%secret@cache":           "must be written %25",
		"redis+sentinel://a":                   "redis+sentinel://a: the name the Sentinels know the server by is missing",
		"unix://run/redis.sock":                "write unix:///path/to/socket, with three slashes",
		"redis://cache?capacity=5":             `the parameter "capacity" is unknown; known are db, format, key, prefix`,
		"redis://cache?prefix=":                "the prefix is empty; leave it out for asgi",
		"redis://cache?prefix=%zz":             `the parameter "prefix" is not percent-encoded`,
		"redis://cache?prefix=a%20b":           `the prefix is "a b"; it may have no spaces`,
		"redis://a?prefix=x,redis://b?prefix=": "prefix is given twice",
		"redis://cache?random_prefix=0":        "may be 1 to 255, for without one equal messages become one",
		"redis://cache?random_prefix=x":        "may be 1 to 255",
		"redis://cache?random_prefix=256":      "may have 1 to 255",
		"redis+pubsub://a?random_prefix=12":    "leave random_prefix out",
		"redis://cache?key=":                   "an encryption key is empty",
		"redis://cache?format=xml":             `the format is "xml"; it may be msgpack or json`,
		"redis://a,redis+pubsub://b":           "some of the URLs have +pubsub and some have not",
		"redis://a?ssl_ca_certs=/nowhere/ca":   "read ssl_ca_certs: open /nowhere/ca",
		"rediss://a?ssl_ca_certs=url_test.go":  "has no certificate in PEM form",
		"rediss://a?ssl_certfile=/nowhere/c":   "read ssl_certfile and ssl_keyfile: open /nowhere/c",
	} {
		_, err := ParseURL(text)
		switch {
		case err == nil:
			t.Errorf("%s: no error", text)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v; want %s", text, err, want)
		case strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error has the password: %v", text, err)
		}
	}
}

func TestHosts(t *testing.T) {
	for text, want := range map[string]host{
		"redis://":                 {name: "redis://", network: "tcp", addrs: []string{"localhost:6379"}},
		"redis://cache/":           {name: "redis://cache", network: "tcp", addrs: []string{"cache:6379"}},
		"rediss://[::1]:6380/15":   {name: "rediss://[::1]:6380/15", network: "tcp", addrs: []string{"[::1]:6380"}, tls: true, db: 15},
		"redis://u:p%3Aw%40@a/":    {name: "redis://a", network: "tcp", addrs: []string{"a:6379"}, user: "u", password: "p:w@"},
		"redis://:pw@a?db=3":       {name: "redis://a", network: "tcp", addrs: []string{"a:6379"}, password: "pw", db: 3},
		"unix://:pw@/r%20x?db=1":   {name: "unix:///r%20x", network: "unix", addrs: []string{"/r x"}, password: "pw", db: 1},
		"redis+sentinel://a,b:1/m": {name: "redis+sentinel://a,b:1/m", network: "tcp", addrs: []string{"a:26379", "b:1"}, master: "m"},
		"rediss+sentinel://u:p@a/m/2?sentinel_username=su&sentinel_password=sp": {name: "rediss+sentinel://a/m/2", network: "tcp",
			addrs: []string{"a:26379"}, master: "m", db: 2, tls: true, user: "u", password: "p", sentinelUser: "su", sentinelPassword: "sp"},
	} {
		got, err := parseHost(text)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(host{})); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
}

func TestWrongOptionsSayWhatToDo(t *testing.T) {
	for want, o := range map[string]Options{
		"give Options.Hosts one entry for each":             {Hosts: []string{"redis://a,b"}},
		"+pubsub is not for Options.Hosts":                  {Hosts: []string{"redis+pubsub://a"}},
		"the parameter prefix is of the whole layer":        {Hosts: []string{"redis://a?prefix=x"}},
		"the random prefix has -1 bytes; it may have 1 to ": {RandomPrefix: -1},
	} {
		if _, err := NewPubSub(o); err == nil && o.RandomPrefix == 0 {
			t.Errorf("no error; want %s", want)
		}
		if _, err := o.checked(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"redis://u:p@a,b:1/3?prefix=x&key=y", "redis+pubsub+sentinel://a,b/m/1?sentinel_password=s", "unix:///x?db=1", "rediss://[::1]/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "ssl_") {
			return // which reads files
		}
		o, err := ParseURL(s)
		if err != nil {
			return
		}
		checked, err := o.checked()
		if err != nil {
			t.Fatalf("%q was parsed to %q, which is refused: %v", s, o.Hosts, err)
		}
		again, err := ParseURL(strings.Join(o.Hosts, " "))
		if err != nil {
			t.Fatalf("%q does not come back: %v", o.Hosts, err)
		}
		if diff := cmp.Diff(o.Hosts, again.Hosts); diff != "" {
			t.Errorf("%q: %s", s, diff)
		}
		for _, h := range checked.hosts {
			if len(h.addrs) == 0 || h.db < 0 {
				t.Errorf("%q: %+v", s, h)
			}
		}
	})
}
