package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write makes a configuration file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "teahouse.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNothingSetIsTheDefault(t *testing.T) {
	got, err := Load(nil, []string{"PATH=/bin", "HOME=/"})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Listen: "localhost:8080", Data: "./teahouse-data", Layer: "memory", Django: Django{Name: "Django"},
		LogLevel: slog.LevelInfo, LogFormat: "text", Limits: true, PerAddress: 1, Backlog: 256 << 20, Drain: autoDrain,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Load with nothing set (-want +got):\n%s", d)
	}
	if got, want := got.StoreAt(), filepath.Join("teahouse-data", "teahouse.db"); got != want {
		t.Errorf("StoreAt() = %q, want %q", got, want)
	}
}

func TestEverySettingIsReadFromEveryPlace(t *testing.T) {
	want := Config{
		Listen: "[::1]:0", Data: "d", Store: "sqlite:x.db", Layer: "redis+pubsub://r:6380/1", LogLevel: slog.LevelDebug,
		Django:    Django{Rooms: []string{"lobby", "team-*"}, Name: "Forum", Usernames: true},
		LogFormat: "json", Origins: []string{"https://a.example", "http://b.example:81"},
		BaseURL: "https://tea.example", Admin: "localhost:9090", PerAddress: 1, Backlog: 64 << 20, Drain: 10 * time.Second,
	}
	file := write(t, `
# a comment
listen = "[::1]:0"
data = "d"
store = "sqlite:x.db"
layer = "redis+pubsub://r:6380/1"
django-rooms = ["lobby", "team-*"]
django-name = "Forum"
django-usernames = true
origin = ["https://A.example:443/", "http://b.example:81"]
base-url = "https://tea.example/"
limits = false
backlog = "64 MiB"
drain = "10s"
admin = "localhost:9090"
log-level = "debug"
log-format = "json"
`)
	flags := []string{
		"--listen", "[::1]:0", "--data=d", "-store", "sqlite:x.db", "--layer=redis+pubsub://r:6380/1", "--origin", "https://A.example:443/",
		"--origin", "http://b.example:81", "--base-url", "https://tea.example/", "--limits=off", "--backlog=64MiB", "--drain=10s", "--admin", "localhost:9090",
		"--log-level=debug", "--log-format", "json", "--django-rooms", "lobby,team-*", "--django-name", "Forum", "--django-usernames", "on",
	}
	env := []string{
		"TEAHOUSE_LISTEN=[::1]:0", "TEAHOUSE_DATA=d", "TEAHOUSE_STORE=sqlite:x.db", "TEAHOUSE_LAYER=redis+pubsub://r:6380/1",
		"TEAHOUSE_ORIGIN=https://A.example:443/, http://b.example:81", "TEAHOUSE_BASE_URL=https://tea.example/",
		"TEAHOUSE_LIMITS=off", "TEAHOUSE_BACKLOG=64mib", "TEAHOUSE_DRAIN=10000ms", "TEAHOUSE_ADMIN=localhost:9090", "TEAHOUSE_LOG_LEVEL=debug", "TEAHOUSE_LOG_FORMAT=json",
		"TEAHOUSE_DJANGO_ROOMS=lobby,team-*", "TEAHOUSE_DJANGO_NAME=Forum", "TEAHOUSE_DJANGO_USERNAMES=on",
	}
	for _, place := range []struct {
		name string
		args []string
		env  []string
		file string
	}{
		{"flags", flags, nil, ""},
		{"environment", nil, env, ""},
		{"file named by a flag", []string{"--config", file}, nil, file},
		{"file named by the environment", nil, []string{"TEAHOUSE_CONFIG=" + file}, file},
	} {
		t.Run(place.name, func(t *testing.T) {
			got, err := Load(place.args, place.env)
			if err != nil {
				t.Fatal(err)
			}
			want := want
			want.File = place.file
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if got.StoreAt() != "x.db" {
				t.Errorf("StoreAt() = %q, want x.db", got.StoreAt())
			}
		})
	}
}

func TestAFlagBeatsTheEnvironmentBeatsTheFileBeatsTheDefault(t *testing.T) {
	file := write(t, "listen = \":3\"\ndata = \"file\"\nlog-format = \"json\"\norigin = [\"http://file.example\"]\n")
	got, err := Load(
		[]string{"--config", file, "--listen", ":1", "--origin", ""},
		[]string{"TEAHOUSE_LISTEN=:2", "TEAHOUSE_DATA=env", "TEAHOUSE_ORIGIN=http://env.example", "TEAHOUSE_CONFIG=/none"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Listen != ":1" || got.Data != "env" || got.LogFormat != "json" || got.Layer != "memory" {
		t.Errorf("got listen %q, data %q, log-format %q, layer %q", got.Listen, got.Data, got.LogFormat, got.Layer)
	}
	if len(got.Origins) != 0 {
		t.Errorf("an empty --origin left %q", got.Origins)
	}
}

// mistake is a command line and an environment that Load refuses.
type mistake struct {
	name string
	args []string
	env  []string
	want string // part of the sentence
}

// refuse wants one sentence for each, without the password "secret".
func refuse(t *testing.T, mistakes []mistake) {
	t.Helper()
	for _, tt := range mistakes {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.args, tt.env)
			if err == nil {
				t.Fatal("Load accepted it")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %q, want it to contain %q", err, tt.want)
			}
			if strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error has several lines or tells a password: %q", err)
			}
		})
	}
}

func TestAMistakeIsOneSentenceThatSaysWhatToDo(t *testing.T) {
	file := func(text string) []string { return []string{"--config", write(t, text)} }
	refuse(t, []mistake{
		{"a misspelt flag", []string{"--lisen", ":1"}, nil, "unknown flag --lisen: did you mean --listen?"},
		{"a flag with an underscore", []string{"--log_level=debug"}, nil, "did you mean --log-level?"},
		{"the beginning of a flag", []string{"--base", "x"}, nil, "did you mean --base-url?"},
		{"a flag like none", []string{"--xylophone"}, nil, "unknown flag --xylophone: teahouse help lists"},
		{"a flag without its value", []string{"--listen"}, nil, "--listen has no value"},
		{"a word that is no flag", []string{"lobby"}, nil, `"lobby" is not a flag`},
		{"a misspelt variable", nil, []string{"TEAHOUSE_LISTEM=:1"}, "did you mean TEAHOUSE_LISTEN?"},
		{"a variable in lower case", nil, []string{"TEAHOUSE_listen=:1"}, "did you mean TEAHOUSE_LISTEN?"},
		{"a variable with a dash", nil, []string{"TEAHOUSE_LOG-LEVEL=info"}, "did you mean TEAHOUSE_LOG_LEVEL?"},
		{"a misspelt key", file("log_level = \"info\""), nil, "did you mean log-level?"},
		{"a file that names a file", file("config = \"x\""), nil, "only a flag or TEAHOUSE_CONFIG can"},
		{"a file that is not there", []string{"--config", "none.toml"}, nil, "none.toml, which does not exist"},
		{"a folder as the file", []string{"--config", "."}, nil, "cannot be read"},
		{"a file that is not TOML", file("listen: x"), nil, `line 1`},
		{"a number for a text", file("listen = 8080"), nil, "put a colon before the port"},
		{"a table for a text", file("[listen]\nport = 1"), nil, "is not a text"},
		{"numbers in a list", file("origin = [1]"), nil, "something else than texts"},
		{"a list for one value", file("listen = [\":1\", \":2\"]"), nil, "takes one value"},
		{"a port without a colon", []string{"--listen", "9000"}, nil, "as in :9000 or localhost:9000"},
		{"a port that is none", []string{"--listen", ":http"}, nil, "the port must be a number"},
		{"a port that is too high", []string{"--listen", ":70000"}, nil, "the port must be a number from 0 to 65535"},
		{"an address without a port", nil, []string{"TEAHOUSE_LISTEN=localhost"}, "TEAHOUSE_LISTEN is \"localhost\": say host:port"},
		{"an admin address without a port", []string{"--admin", "on"}, nil, "or say off"},
		{"no folder", []string{"--data="}, nil, "name a folder"},
		{"Django without Redis", []string{"--django-rooms", "lobby"}, nil, `say --layer redis://HOST:6379`},
		{"a pattern that is open", []string{"--django-rooms", "a[b"}, nil, `is "a[b": close its bracket`},
		{"no name for Django", []string{"--django-name", " "}, nil, `say a name`},
		{"an unknown level", []string{"--log-level", "loud"}, nil, "say debug, info, warn or error"},
		{"an unknown format", []string{"--log-format", "xml"}, nil, "say text or json"},
		{"a switch that is neither", []string{"--limits", "maybe"}, nil, "say on, off, or a whole number"},
		{"a size without a number", []string{"--backlog", "MiB"}, nil, "--backlog is \"MiB\": say a whole number of bytes with a unit, such as 256MiB"},
		{"a size in an unknown unit", nil, []string{"TEAHOUSE_BACKLOG=5 apples"}, "TEAHOUSE_BACKLOG is \"5 apples\": say a whole number"},
		{"a size with a fraction", []string{"--backlog=1.5GiB"}, nil, "say a whole number"},
		{"a size below nothing", []string{"--backlog=-1"}, nil, "say a whole number"},
		{"a size that is too small", file("backlog = 1000"), nil, "is \"1000\": say a size from 1MiB to 1024GiB"},
		{"a time without its unit", []string{"--drain=10"}, nil, "--drain is \"10\": say a time with its unit, such as 10s, or auto"},
		{"a time that is too long", file("drain = \"1h\""), nil, "is \"1h\": say a time from 0s to 5m, or auto"},
		{"a time before now", []string{"--drain", "-1ns"}, nil, "say a time from 0s to 5m"},
		{"a size that is too large", []string{"--backlog=9999999999GiB"}, nil, "say a size from 1MiB to 1024GiB"},
		{"an origin without a scheme", []string{"--origin", "chat.example"}, nil, "say scheme://host"},
		{"an origin with a path", []string{"--origin", "http://a.example,http://b.example/x"}, nil, "number 2 holds more than"},
		{"an origin with a login", []string{"--origin", "http://me:secret@a.example"}, nil, "holds more than"},
		{"every origin at once", []string{"--origin", "https://*.example"}, nil, "name each origin exactly"},
		{"an origin with half a port", []string{"--origin", "https://a.example:"}, nil, "a colon but no port"},
		{"an origin with a wrong port", []string{"--origin", "https://a.example:99999"}, nil, "a number from 0 to 65535"},
		{"a proxy by its name", []string{"--trusted-proxy", "proxy.example"}, nil, `--trusted-proxy is "proxy.example": say an address or a network`},
		{"a proxy with a port", nil, []string{"TEAHOUSE_TRUSTED_PROXY=10.0.0.1,10.0.0.2:80"}, `TEAHOUSE_TRUSTED_PROXY number 2 is "10.0.0.2:80": say an address`},
		{"an address where a network was meant", []string{"--trusted-proxy", "10.0.0.1/8"}, nil, `say 10.0.0.0/8 for the network, or 10.0.0.1 for the one address`},
		{"the same in the form of IPv6", []string{"--trusted-proxy", "::ffff:10.0.0.1/104"}, nil, `say 10.0.0.0/8 for the network`},
		{"more than all of IPv4 as IPv6", []string{"--trusted-proxy", "::ffff:0:0/90"}, nil, `say an address or a network`},
		{"everybody as a proxy", file("trusted-proxy = [\"0.0.0.0/0\"]"), nil, "trusts everybody"},
		{"a base URL with a path", []string{"--base-url", "https://a.example/chat"}, nil, "holds more than"},
	})
}

func TestAMistakeAboutAStoreOrALayerIsOneSentenceToo(t *testing.T) {
	refuse(t, []mistake{
		{"a store that is not supported", []string{"--store", "mysql://me:secret@db/x"}, nil, `"mysql:" is not supported: say sqlite:PATH or postgres://`},
		{"a store without a database", []string{"--store", "postgres://"}, nil, `names no database: say postgres://`},
		{"a store in the place of the folder", nil, []string{"TEAHOUSE_DATA=postgres://me:secret@db/x"}, `TEAHOUSE_DATA is no folder but the address of a store: did you mean --store?`},
		{"a path of a store there", []string{"--data", "sqlite:x"}, nil, `did you mean --store?`},
		{"an address behind sqlite", []string{"--store", "sqlite:postgres://me:secret@db/x"}, nil, `say sqlite:PATH, or postgres://… alone`},
		{"Redis without a host", []string{"--layer", "redis://"}, nil, `--layer cannot be used: a host is missing; write for example redis://localhost:6379`},
		{"Redis with a login and no host", []string{"--layer", "redis+pubsub://:secret@/1"}, nil, `a host is missing`},
		{"Redis with only a port", []string{"--layer", "rediss://:6379?prefix=a"}, nil, `a host is missing`},
		{"the second Redis without a host", []string{"--layer", "redis://a redis://"}, nil, `a host is missing`},
		{"NATS without a host", []string{"--layer", "nats://"}, nil, `--layer cannot be used: a host is missing; write for example nats://localhost:4222`},
		{"NATS with only a port", []string{"--layer", "nats://secret@:4222"}, nil, `a host is missing`},
		{"a store without a path", []string{"--store", "sqlite:"}, nil, "has no path"},
		{"a layer that is not supported", []string{"--layer", "amqp://:secret@db"}, nil, `has the scheme "amqp", which is not supported: say memory, redis://`},
		{"a layer that is a word", []string{"--layer", "redis"}, nil, `is "redis": say memory, redis://HOST:6379`},
		{"a layer that is an address", []string{"--layer", "me:secret@db:6379"}, nil, `is no URL: say memory, redis://`},
		{"a layer with a question mark in its password", []string{"--layer", "redis://:x?secret@db"}, nil, `write %3F for ?`},
		{"a layer with a space in its password", []string{"--layer", "redis://:x secret@db"}, nil, `write %20 for a space`},
		{"a layer with a wrong port", []string{"--layer", "redis://:secret@db:70000"}, nil, `--layer cannot be used: `},
		{"a layer with an unknown parameter", []string{"--layer", "redis://:secret@db?brew=tea"}, nil, `brew`},
		{"a layer of two formats", nil, []string{"TEAHOUSE_LAYER=redis://:secret@a redis+pubsub://b"}, `TEAHOUSE_LAYER cannot be used: some of the URLs have +pubsub`},
	})
}

func TestFilesToLogInWithAreNotReadWithTheSettings(t *testing.T) {
	for _, layer := range []string{"nats://a?creds=/none/a", "nats://a?nkey=/none/a"} {
		if _, err := Load([]string{"--layer", layer}, nil); err != nil {
			t.Errorf("%s: %v", layer, err)
		}
	}
}

func TestASizeIsReadInItsUnit(t *testing.T) {
	for text, want := range map[string]int64{
		"1048576": 1 << 20, "1048576B": 1 << 20, "1024KiB": 1 << 20, "256MiB": 256 << 20, "256 MiB": 256 << 20,
		"2gib": 2 << 30, " 3GiB ": 3 << 30, "2000KB": 2e6, "64MB": 64e6, "1GB": 1e9, "1024GiB": 1 << 40,
	} {
		if got, err := size(text, 1<<20, 1<<40); got != want || err != nil {
			t.Errorf("size(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for n, want := range map[int64]string{1000: "1000", 1 << 10: "1KiB", 3 << 20: "3MiB", 1 << 40: "1024GiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("sizeText(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestVariablesOfOthersAreLeftAlone(t *testing.T) {
	env := []string{
		"TEAHOUSE_SERVICE_HOST=10.0.0.1", "TEAHOUSE_SERVICE_PORT=80", "TEAHOUSE_PORT=tcp://10.0.0.1:80",
		"TEAHOUSE_PORT_80_TCP=tcp://10.0.0.1:80", "TEAHOUSES=1",
	}
	got, err := Load(nil, env)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Default(), got); d != "" {
		t.Errorf("they changed the configuration (-want +got):\n%s", d)
	}
}

func TestHelpIsAskedForByItsFlags(t *testing.T) {
	for _, arg := range []string{"-h", "--help"} {
		if _, err := Load([]string{arg}, nil); !errors.Is(err, ErrHelp) {
			t.Errorf("Load(%q) = %v, want ErrHelp", arg, err)
		}
	}
}

func TestNearestFindsMisspellingsOnly(t *testing.T) {
	words := []string{"serve", "version", "help"}
	for name, want := range map[string]int{
		"server": 0, "sevre": 0, "versoin": 1, "ver": 1, "hlep": 2, "": -1, "x": -1, "bench": -1,
		strings.Repeat("serve", 100): -1,
	} {
		if got := Nearest(name, words); got != want {
			t.Errorf("Nearest(%q) = %d, want %d", name, got, want)
		}
	}
}

// FuzzLoad checks that no input crashes, that origins come out canonical and
// sizes within their bounds.
func FuzzLoad(f *testing.F) {
	f.Add("--listen", "LOG_LEVEL", "debug", "origin = [\"http://a.example\"]")
	f.Add("--origin=http://[::1]:80", "ORIGIN", "https://é.example", "[a]\nb = 1979-05-27")
	f.Add("--backlog=18014398509481985KiB", "BACKLOG", "1.5GiB", "backlog = 9223372036854775807")
	f.Add("-", "", "", "\x00")
	f.Fuzz(func(t *testing.T, arg, name, text, file string) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load([]string{arg}, []string{envPrefix + name + "=" + text, "TEAHOUSE_CONFIG=" + path})
		if err != nil {
			return
		}
		if c.Backlog < 1<<20 || c.Backlog > 1<<40 {
			t.Errorf("a backlog of %d bytes", c.Backlog)
		}
		for _, o := range c.Origins {
			if again, err := origin(o); err != nil || again != o {
				t.Errorf("origin %q is not canonical: %q, %v", o, again, err)
			}
		}
	})
}
