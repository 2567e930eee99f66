package nats

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestURLsOfLayers(t *testing.T) {
	for text, want := range map[string]Options{
		"nats://localhost:4222":                  {Servers: []string{"nats://localhost:4222"}},
		"nats://a, b:5222":                       {Servers: []string{"nats://a", "nats://b:5222"}},
		"nats://a,nats://b":                      {Servers: []string{"nats://a", "nats://b"}},
		"tls://a,b":                              {Servers: []string{"tls://a", "tls://b"}},
		"nats://u:p%40ss@a,b":                    {Servers: []string{"nats://a", "nats://b"}, User: "u", Password: "p@ss"},
		"nats://u:p@a,nats://u:p@b":              {Servers: []string{"nats://a", "nats://b"}, User: "u", Password: "p"},
		"nats://t@a":                             {Servers: []string{"nats://a"}, Token: "t"},
		"nats://a?creds=/run/a.creds":            {Servers: []string{"nats://a"}, Creds: "/run/a.creds"},
		"nats://[::1]:1?nkey=k&prefix=site.chat": {Servers: []string{"nats://[::1]:1"}, NKey: "k", Prefix: "site.chat"},
	} {
		got, err := ParseURL(text)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
}

func TestAWrongURLSaysWhatToDo(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "write for example nats://localhost:4222",
		"localhost:4222":                "has no scheme; write for example",
		"http://a":                      `the scheme "http" is unknown; known are nats and tls`,
		"nats://a,tls://b":              "TLS is for all or for none",
		"nats://a:x":                    `the port "x" is not a number from 1 to 65535`,
		"nats://a:0":                    `the port "0"`,
		"nats://::1":                    "needs brackets, [::1]:4222",
		"nats://a,,b":                   "a host is missing",
		"nats://":                       "a host is missing",
		"nats://a/secret":               "more than a host and a port",
		"nats://u:100%secret@a":         "must be written %25",
		"nats://u:secret@a,u:other@b":   "different credentials",
		"nats://a?capacity=5":           `the parameter "capacity" is unknown; known are creds, nkey, prefix`,
		"nats://a?prefix=%zz":           `the parameter "prefix" is not percent-encoded`,
		"nats://a?prefix=a&prefix=b":    "is given twice",
		"nats://a?prefix=a..b":          `the prefix is "a..b"`,
		"nats://a?prefix=a.*":           `the prefix is "a.*"`,
		"nats://secret@a?creds=x":       "several ways to log in",
		"nats://a?creds=x&nkey=y":       "several ways to log in",
		"tls://a?ssl_ca_certs=/no/such": "read ssl_ca_certs",
		"tls://a?ssl_certfile=/no/such": "read ssl_certfile and ssl_keyfile",
	} {
		_, err := ParseURL(text)
		if err == nil || !strings.HasPrefix(err.Error(), "nats: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells a secret: %v", text, err)
		}
	}
	cert, _ := certificate(t)
	if _, err := ParseURL("nats://a?ssl_ca_certs=" + cert); err == nil || !strings.Contains(err.Error(), "write tls://") {
		t.Errorf("certificates without TLS: %v", err)
	}
}

func TestTokensAreLegalAndDifferent(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{
		"", " ", "g", "G", "g ", "g.h", "g_h", "g*", "*", ">", "g>", "茶馆", "\xff", "\x00", "lobby", "lobby=",
		strings.Repeat("g", 64), strings.Repeat("g", 65), strings.Repeat("g", 512), strings.Repeat("g", 511) + "h", token("g.h"),
	} {
		s := token(name)
		if s == "" || len(s) > maxToken+1 || strings.ContainsFunc(s, func(r rune) bool { return illegal(r) && r != '=' }) {
			t.Errorf("%.20q is %q", name, s)
		}
		if other, taken := seen[s]; taken {
			t.Errorf("%.20q and %.20q are both %q", name, other, s)
		}
		seen[s] = name
	}
	if s := token("lobby-1_A"); s != "lobby-1_A" {
		t.Errorf("a plain name is %q", s)
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"nats://a", "tls://u:p@a,b:1?prefix=x", "nats://[::1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "ssl_") {
			return // it would read files
		}
		if o, err := ParseURL(s); err == nil {
			if _, err := o.checked(); err != nil {
				t.Errorf("%q: %v", s, err)
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	m, err := encode(say("hi"), []string{"specific.x!y"})
	if err != nil {
		f.Fatal(err)
	}
	message{kind: kindEvent, sender: processID{1}, connection: 1}.appendHead(m[:0])
	f.Add(m)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err != nil {
			return
		}
		if again := m.appendHead(nil); string(again) != string(b[:headSize]) {
			t.Errorf("%x is written as %x", b[:headSize], again)
		}
		if e, _, err := decode(m.body); err == nil && e.Type == "" {
			t.Error("an event without a type")
		}
	})
}
