package auth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/auth"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logins are the stored ones, by hash.
type logins map[[32]byte]chat.Login

func (l logins) Login(_ context.Context, hash [32]byte) (chat.Login, error) {
	if found, ok := l[hash]; ok {
		return found, nil
	}
	return chat.Login{}, chat.ErrNoLogin
}

type broken struct{}

var errDisk = errors.New("disk on fire")

func (broken) Login(context.Context, [32]byte) (chat.Login, error) { return chat.Login{}, errDisk }

var key = [32]byte{1, 2, 3}

func TestATokenBringsTheSameGuestBack(t *testing.T) {
	g := auth.NewGuests(logins{}, key, false)
	token, made := g.New("zh-CN")
	back, err := g.FromToken(t.Context(), token, "zh-CN")
	if err != nil || back.User != made.User || back.Hash != made.Hash {
		t.Fatalf("got %+v, %v; want %+v", back, err, made)
	}
	if made.User.ID <= 0 || made.User.Name == "" {
		t.Errorf("guest %+v", made.User)
	}
	if _, other := g.New("en"); other.User.ID == made.User.ID {
		t.Error("two guests have one id")
	}
}

func TestAStoredPersonIsKnownByTheirToken(t *testing.T) {
	stored := logins{}
	g := auth.NewGuests(stored, key, false)
	token, made := g.New("en")
	made.User.Name = "Ada"
	stored[made.Hash] = made
	if back, err := g.FromToken(t.Context(), token, "en"); err != nil || back.User.Name != "Ada" {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestTokensThatAreNotOurs(t *testing.T) {
	g := auth.NewGuests(logins{}, key, false)
	token, _ := g.New("en")
	foreign, _ := auth.NewGuests(logins{}, [32]byte{9}, false).New("en")
	flipped := []byte(token)
	if flipped[3]++; flipped[3] == token[3] {
		t.Fatal("nothing was flipped")
	}
	for name, bad := range map[string]string{
		"empty":         "",
		"not base64":    "!!!",
		"short":         token[:20],
		"longer":        token + "AAAA",
		"changed":       string(flipped),
		"another key":   foreign,
		"with padding":  token + "=",
		"a megabyte":    strings.Repeat("A", 1<<20),
		"SQL in it":     "' OR 1=1 --",
		"control bytes": "\x00\x1b[31m",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := g.FromToken(t.Context(), bad, "en"); !errors.Is(err, auth.ErrBadToken) {
				t.Errorf("got %v, want ErrBadToken", err)
			}
		})
	}
}

func TestATokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := auth.NewGuests(logins{}, key, false)
		token, _ := g.New("en")
		time.Sleep(auth.Lifetime - time.Second)
		if _, err := g.FromToken(t.Context(), token, "en"); err != nil {
			t.Errorf("before its end: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := g.FromToken(t.Context(), token, "en"); !errors.Is(err, auth.ErrBadToken) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestAStoreThatFailsIsNotABadToken(t *testing.T) {
	token, _ := auth.NewGuests(logins{}, key, false).New("en")
	_, err := auth.NewGuests(broken{}, key, false).FromToken(t.Context(), token, "en")
	if !errors.Is(err, errDisk) || errors.Is(err, auth.ErrBadToken) {
		t.Errorf("got %v", err)
	}
}

func TestAPageGivesTheCookieOnce(t *testing.T) {
	g := auth.NewGuests(logins{}, key, false)
	w := httptest.NewRecorder()
	first, err := g.Guest(w, httptest.NewRequest("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("got %d cookies", len(cookies))
	}
	c := cookies[0]
	if c.Name != "sid" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure || c.MaxAge != 90*24*3600 {
		t.Errorf("cookie %v", c)
	}
	again := httptest.NewRequest("GET", "/", nil)
	again.AddCookie(c)
	w = httptest.NewRecorder()
	second, err := g.Guest(w, again)
	if err != nil || second.User != first.User {
		t.Errorf("came back as %+v, %v; was %+v", second.User, err, first.User)
	}
	if len(w.Result().Cookies()) != 0 {
		t.Error("the cookie was given again")
	}
}

func TestUnderTLSTheCookieIsBoundToTheHost(t *testing.T) {
	direct := httptest.NewRequest("GET", "/", nil)
	direct.TLS = &tls.ConnectionState{}
	for name, c := range map[string]struct {
		secure bool
		r      *http.Request
	}{
		"by ourselves":      {false, direct},
		"by a proxy before": {true, httptest.NewRequest("GET", "/", nil)},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			if _, err := auth.NewGuests(logins{}, key, c.secure).Guest(w, c.r); err != nil {
				t.Fatal(err)
			}
			if got := w.Result().Cookies()[0]; got.Name != "__Host-sid" || !got.Secure || got.Domain != "" || got.Path != "/" {
				t.Errorf("cookie %v", got)
			}
		})
	}
}

func TestABadCookieIsReplacedOnAPageAndRefusedElsewhere(t *testing.T) {
	g := auth.NewGuests(logins{}, key, false)
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "sid", Value: "forged"})
	if _, ok, err := g.FromRequest(r); ok || !errors.Is(err, auth.ErrBadToken) {
		t.Errorf("got %v, %v", ok, err)
	}
	w := httptest.NewRecorder()
	if _, err := g.Guest(w, r); err != nil || len(w.Result().Cookies()) != 1 {
		t.Errorf("got %v, %d cookies", err, len(w.Result().Cookies()))
	}
}

func TestABearerTokenWorksAndATokenInTheAddressDoesNot(t *testing.T) {
	g := auth.NewGuests(logins{}, key, false)
	token, made := g.New("en")
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	if l, ok, err := g.FromRequest(r); err != nil || !ok || l.User != made.User {
		t.Errorf("got %+v, %v, %v", l, ok, err)
	}
	r = httptest.NewRequest("GET", "/?token="+token, nil)
	if _, ok, err := g.FromRequest(r); ok || !errors.Is(err, auth.ErrTokenInURL) {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestLanguage(t *testing.T) {
	for _, c := range []struct{ name, cookie, accept, want string }{
		{"nothing said", "", "", "en"},
		{"Chinese", "", "zh-CN,zh;q=0.9,en;q=0.8", "zh"},
		{"Taiwan", "", "zh-TW", "zh"},
		{"English first", "", "en-GB,zh;q=0.5", "en"},
		{"neither", "", "fr-FR,de", "en"},
		{"another first, Chinese second", "", "fr,zh;q=0.5", "zh"},
		{"the choice wins", "en", "zh-CN", "en"},
		{"a choice there is not", "fr", "zh-CN", "zh"},
		{"nonsense", "", ";;;q=", "en"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Accept-Language", c.accept)
			if c.cookie != "" {
				r.AddCookie(&http.Cookie{Name: auth.LanguageCookie, Value: c.cookie})
			}
			if got := auth.Language(r); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
