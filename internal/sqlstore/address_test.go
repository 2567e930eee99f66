package sqlstore_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// saidOf is all that is said of an address where nobody answers.
func saidOf(t *testing.T, at string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	source := filepath.Join(t.TempDir(), "teahouse.db")
	closeStore(t, openAt(t, source))
	texts := []string{sqlstore.Place(at)}
	add := func(err error) {
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	s, err := sqlstore.Open(ctx, at, quiet)
	if err == nil {
		closeStore(t, s)
		t.Fatalf("%s was opened", at)
	}
	add(err)
	add(sqlstore.CheckAddress(at))
	_, err = sqlstore.Look(ctx, at, false)
	add(err)
	_, err = sqlstore.Copy(ctx, at, filepath.Join(t.TempDir(), "to.db"), sqlstore.CopyOptions{Log: quiet})
	add(err)
	_, err = sqlstore.Copy(ctx, source, at, sqlstore.CopyOptions{Log: quiet})
	add(err)
	return texts
}

func TestNoPartOfAnAddressThatMayBeAPasswordIsShown(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key-hushhush")
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{
		"as usual":                             "postgres://ann:hushhush@127.0.0.1:1/tea",
		"the other scheme":                     "postgresql://ann:hushhush@127.0.0.1:1/tea",
		"in the query":                         "postgres://127.0.0.1:1/tea?user=ann&password=hushhush",
		"in both":                              "postgres://ann:hushhush@127.0.0.1:1/tea?password=hushhush2",
		"of a key":                             "postgres://ann@127.0.0.1:1/tea?sslmode=require&sslpassword=hushhush",
		"of a key that is not there":           "postgres://ann@127.0.0.1:1/tea?sslmode=require&sslcert=" + key + "&sslkey=" + key + "x&sslpassword=hushhush",
		"of a key that is none":                "postgres://ann@127.0.0.1:1/tea?sslmode=require&sslcert=" + key + "&sslkey=" + key,
		"the authority in it":                  "postgres://ann@127.0.0.1:1/tea?sslmode=verify-ca&sslrootcert=hushhush",
		"percent-encoded":                      "postgres://ann:%68ushhush@127.0.0.1:1/tea",
		"percent-encoded in the query":         "postgres://127.0.0.1:1/tea?user=ann&pass%77ord=hush%68ush",
		"badly percent-encoded":                "postgres://ann:hushhush%xx@127.0.0.1:1/tea",
		"with a percent":                       "postgres://ann:100%hushhush@127.0.0.1:1/tea",
		"with a bracket":                       "postgres://ann:hush[hush@127.0.0.1:1/tea",
		"with a question mark":                 "postgres://ann:hush?hush@127.0.0.1:1/tea",
		"with a question mark and an equals":   "postgres://ann:hush?hush=1@127.0.0.1:1/tea",
		"with a slash":                         "postgres://ann:hush/hush@127.0.0.1:1/tea",
		"with a number and a slash":            "postgres://ann:1/hushhush@127.0.0.1:1/tea",
		"with a number, a slash and more":      "postgres://ann:1/hush?hush=hush@127.0.0.1:1/tea",
		"with an at and a question mark":       "postgres://ann:@hushhush?@127.0.0.1:1/tea",
		"with an at":                           "postgres://ann:hush@hush@127.0.0.1:1/tea",
		"with a hash":                          "postgres://ann:hush#hush@127.0.0.1:1/tea",
		"with a colon":                         "postgres://ann:hush:hush@127.0.0.1:1/tea",
		"with a grave accent":                  "postgres://ann:hush`: failed to parse as URL hush@127.0.0.1:port/tea",
		"with a space":                         "postgres://ann:hush hush@127.0.0.1:1/tea",
		"with a newline":                       "postgres://ann:hush\nhush@127.0.0.1:1/tea",
		"two hosts":                            "postgres://ann:hushhush@127.0.0.1:1,127.0.0.1:2/tea",
		"two hosts, one password in the query": "postgres://127.0.0.1:1,127.0.0.1:2/tea?user=ann&password=hushhush",
		"two hosts, a port of neither":         "postgres://ann:hushhush@127.0.0.1:1,127.0.0.1:x/tea",
		"three ports for two hosts":            "postgres://ann:hushhush@127.0.0.1,127.0.0.1/tea?port=1,2,3",
		"no host":                              "postgres://teahouse:hushhush",
		"no host but a database":               "postgres://teahouse:hushhush/tea",
		"a slash for a colon":                  "postgres://teahouse/hushhush@127.0.0.1:1/tea",
		"a port that is none":                  "postgres://ann:hushhush@127.0.0.1:port/tea",
		"half a bracket":                       "postgres://ann:hushhush@[::1/tea",
		"a mode that is none":                  "postgres://ann:hushhush@127.0.0.1:1/tea?sslmode=hushhush",
		"a number that is none":                "postgres://ann@127.0.0.1:1/tea?connect_timeout=hushhush",
		"a choice that is none":                "postgres://ann@127.0.0.1:1/tea?target_session_attrs=hushhush",
		"a mode of pgx that is none":           "postgres://ann@127.0.0.1:1/tea?default_query_exec_mode=hushhush",
		"a size of pgx that is none":           "postgres://ann@127.0.0.1:1/tea?statement_cache_capacity=hushhush",
		"a setting that is none":               "postgres://ann:hushhush@127.0.0.1:1/tea?pasword=hushhush",
		"a service that is none":               "postgres://ann:hushhush@127.0.0.1:1/tea?service=hushhush",
	} {
		t.Run(name, func(t *testing.T) {
			for _, text := range saidOf(t, at) {
				for _, part := range []string{"hush", "%68", "sslkey=", "password="} {
					if strings.Contains(text, part) {
						t.Errorf("%q is shown: %s", part, text)
					}
				}
				if strings.Contains(text, "\n") || strings.Contains(text, "the address the address") {
					t.Errorf("no sentence: %q", text)
				}
			}
		})
	}
}

func TestAPlaceIsTheHostsAndTheRealDatabase(t *testing.T) {
	for at, want := range map[string]string{
		"postgres://ann:hush@db.example.org/tea?sslmode=verify-full": "postgres://db.example.org:5432/tea",
		"postgresql://ann:hush@db:6432/":                             "postgres://db:6432/ann",
		"postgres://db?user=ann&dbname=tea":                          "postgres://db:5432/tea",
		"postgres://ann@[::1]:1/tea":                                 "postgres://[::1]:1/tea",
		"postgres://ann@one:1,two/a%20b":                             "postgres://one:1,two:5432/a%20b",
		"postgres://ann@/tea?host=/run/postgresql":                   "postgres://%2Frun%2Fpostgresql:5432/tea",
		"postgres://ann:hush@db:x/tea":                               "the address given",
		"folder/teahouse.db":                                         "folder/teahouse.db",
	} {
		if got := sqlstore.Place(at); got != want {
			t.Errorf("%s is %s, want %s", at, got, want)
		}
	}
}

// FuzzAddress puts a password into all the places of an address that it may stand
// in, as it is and as it should be written, and looks for each part of it.
func FuzzAddress(f *testing.F) {
	for _, password := range []string{"secret", "se/cret", "1/secret", "1/sec?ret=", "@secret?", "se@cret", "se?cret", "[secret", "%secret", "1,2/secret", "`: invalid port"} {
		f.Add(password)
	}
	f.Fuzz(func(t *testing.T, password string) {
		const address = "ann:@127.0.0.1:1/tea?password=&user=postgresql:// "
		for _, at := range []string{
			"postgres://ann:" + password + "@127.0.0.1:1/tea",
			"postgres://ann:" + url.QueryEscape(password) + "@127.0.0.1:1/tea",
			"postgres://127.0.0.1:1/tea?user=ann&password=" + password,
			"postgres://127.0.0.1:1/tea?user=ann&password=" + url.QueryEscape(password),
			"postgres://ann:" + password + "@127.0.0.1:1,127.0.0.1:2/tea?sslmode=disable",
		} {
			said := sqlstore.Place(at)
			if err := sqlstore.CheckAddress(at); err != nil {
				said = strings.Replace(err.Error(), "postgres://USER:PASSWORD@HOST:5432/DATABASE", "", 1)
			}
			for part := range strings.FieldsFuncSeq(password, func(r rune) bool { return strings.ContainsRune("/?&=@:,[]%` ", r) }) {
				if len(part) > 5 && !strings.Contains(address, part) && strings.Contains(said, part) && !strings.Contains(addressWords, part) {
					t.Fatalf("%q is shown of %q: %s", part, at, said)
				}
			}
		}
	})
}

// addressWords are said of any address.
var addressWords = sqlstore.ErrAddress.Error() + " it cannot be taken apart port is not a number from there is an @ too many " +
	"write and in the user and the password a setting after the is not valid the address given"

func TestWhatIsWrongWithAnAddressIsSaid(t *testing.T) {
	for at, want := range map[string]string{
		"postgres://ann:hush@db:port/tea":                  "a port is not a number from 1 to 65535",
		"postgres://ann:hu%sh@db/tea":                      "it cannot be taken apart",
		"postgres://ann:hu@sh@db/tea":                      "there is an @ too many",
		"postgres://ann@db/tea?sslmode=on":                 "sslmode is disable, allow, prefer, require, verify-ca or verify-full",
		"postgres://ann@db/tea?sslmode=require&sslcert=x":  "sslcert and sslkey go together",
		"postgres://ann@db/tea?sslrootcert=nowhere":        "the file of sslrootcert cannot be read: no such file or directory",
		"postgres://ann@one,two/tea?port=1,2,3":            "give one port for all hosts or one for each",
		"postgres://ann@db/tea?connect_timeout=5s":         "connect_timeout is a number of seconds",
		"postgres://ann@db/tea?statement_cache_capacity=x": "a setting after the ? is not valid",
	} {
		if err := sqlstore.CheckAddress(at); !errors.Is(err, sqlstore.ErrAddress) || !strings.Contains(err.Error(), want+": write postgres://USER:") {
			t.Errorf("%s: %v; want %q", at, err, want)
		}
	}
	for _, at := range []string{"postgres://ann@db/tea", "teahouse.db"} {
		if err := sqlstore.CheckAddress(at); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestWhatPostgresRefusesIsOneCauseWithAnAdvice(t *testing.T) {
	server := parts.Postgres(t)
	server.Must("postgres", `CREATE ROLE crowd LOGIN CONNECTION LIMIT 0; CREATE ROLE `+ordinary+` LOGIN`)
	tcp := newProxy(t, server)
	as := func(user, options string) string {
		u, err := url.Parse(tcp.url(options))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.User(user)
		return u.String()
	}
	prefer := strings.Replace(as("crowd", ""), "sslmode=disable", "sslmode=prefer", 1)
	two := strings.Replace(as("crowd", ""), "@", "@127.0.0.1:1,", 1)
	for name, c := range map[string]struct {
		at   string
		want error
		says []string
	}{
		"too many connections":                     {as("crowd", ""), sqlstore.ErrFull, []string{`too many connections for role "crowd" (SQLSTATE 53300)): `, "max_connections", "CONNECTION LIMIT"}},
		"too many, after TLS was refused":          {prefer, sqlstore.ErrFull, []string{"too many connections for role"}},
		"too many, after another host refused":     {two, sqlstore.ErrFull, []string{"too many connections for role", "127.0.0.1:1: connection refused): "}},
		"a setting that PostgreSQL does not know":  {as("owner", "statement_timeuot=8s"), sqlstore.ErrSetting, []string{`unrecognized configuration parameter "statement_timeuot"`, "correct or remove"}},
		"a value that PostgreSQL does not take":    {as("owner", "statement_timeout=8parsecs"), sqlstore.ErrSetting, []string{"statement_timeout", "correct or remove"}},
		"TLS wanted and not there":                 {strings.Replace(as("owner", ""), "sslmode=disable", "sslmode=require", 1), sqlstore.ErrTLS, []string{"the server has no TLS): ", "ssl = on"}},
		"nobody, by TLS and without":               {"postgres://owner@127.0.0.1:1/tea", sqlstore.ErrUnreachable, []string{"PostgreSQL cannot be reached (127.0.0.1:1: connection refused): see that it runs at postgres://127.0.0.1:1/tea, "}},
		"nobody at two hosts":                      {"postgres://owner@127.0.0.1:1,127.0.0.1:2/tea", sqlstore.ErrUnreachable, []string{"(127.0.0.1:1: connection refused, 127.0.0.1:2: connection refused): "}},
		"a user who is no database's name, and no": {strings.Replace(as("nobody", ""), "/postgres", "/", 1), sqlstore.ErrRefused, []string{`role "nobody" does not exist`, "/nobody"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sqlstore.Open(t.Context(), c.at, quiet)
			if err == nil {
				closeStore(t, s)
			}
			if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), c.want.Error()+" (") {
				t.Fatalf("%v; want %v", err, c.want)
			}
			for _, says := range c.says {
				if strings.Count(err.Error(), says) != 1 {
					t.Errorf("%v; want %q once", err, says)
				}
			}
			if c.want != sqlstore.ErrTLS && strings.Contains(err.Error(), "TLS") {
				t.Errorf("there is a word of TLS: %v", err)
			}
		})
	}
}
