// Package auth says who is at the other end of a request: a guest, known by a
// random secret in a cookie or a token, and from which site the request came.
//
// A guest costs nothing until they speak. Their token is the secret with the
// time it was made and a code under the store's key, so the server knows its
// own tokens without keeping them; their id and first name follow from the
// secret. The first message or new name stores the person, and the secret only
// as a hash.
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Lifetime of a guest's token. There is no idle limit: a guest has no
// privilege to protect, and a holiday must not cost them their name.
const Lifetime = 90 * 24 * time.Hour

// ErrBadToken is a token that this server did not make, or that has expired.
var ErrBadToken = errors.New("the token is not valid here: leave it out to get a new one")

// ErrTokenInURL is a secret where logs and other sites can see it.
var ErrTokenInURL error = badRequest("a token never goes into the address: send it as a cookie or as Authorization: Bearer")

// badRequest is a mistake in the request itself, whoever sends it.
type badRequest string

func (e badRequest) Error() string { return string(e) }

// Status is the HTTP status to answer with.
func (badRequest) Status() int { return http.StatusBadRequest }

// Guests makes and reads guests' tokens.
type Guests struct {
	logins Logins
	key    [32]byte
	secure bool
	now    func() time.Time
}

// Logins finds the people who have been stored.
type Logins interface {
	Login(ctx context.Context, hash [32]byte) (chat.Login, error)
}

// NewGuests makes tokens signed with key. Secure says that every visitor comes
// over TLS, also when a proxy ends it.
func NewGuests(logins Logins, key [32]byte, secure bool) *Guests {
	return &Guests{logins: logins, key: key, secure: secure, now: time.Now}
}

const (
	secretSize = 32
	madeSize   = 8 // Unix seconds, big endian
	codeSize   = 16
	tokenSize  = secretSize + madeSize + codeSize
)

// New is a new guest and the token that brings them back. The name is in the
// language of locale, a BCP 47 tag.
func (g *Guests) New(locale string) (string, chat.Login) {
	raw := make([]byte, secretSize+madeSize, tokenSize)
	rand.Read(raw[:secretSize]) // never fails
	made := g.now().UTC().Truncate(time.Second)
	binary.BigEndian.PutUint64(raw[secretSize:], uint64(made.Unix()))
	raw = append(raw, g.code(raw)...)
	return base64.RawURLEncoding.EncodeToString(raw), g.login(raw, made, locale)
}

// FromToken is the guest that a token stands for, or ErrBadToken.
func (g *Guests) FromToken(ctx context.Context, token, locale string) (chat.Login, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != tokenSize {
		return chat.Login{}, ErrBadToken
	}
	signed, code := raw[:secretSize+madeSize], raw[secretSize+madeSize:]
	made := time.Unix(int64(binary.BigEndian.Uint64(signed[secretSize:])), 0).UTC()
	if !hmac.Equal(code, g.code(signed)) || g.now().Sub(made) > Lifetime {
		return chat.Login{}, ErrBadToken
	}
	fresh := g.login(raw, made, locale)
	known, err := g.logins.Login(ctx, fresh.Hash)
	if errors.Is(err, chat.ErrNoLogin) {
		return fresh, nil
	}
	if err != nil {
		return chat.Login{}, fmt.Errorf("find login: %w", err)
	}
	return known, nil
}

func (g *Guests) code(signed []byte) []byte {
	mac := hmac.New(sha256.New, g.key[:])
	mac.Write(signed)
	return mac.Sum(nil)[:codeSize]
}

// login is the guest as they are before they are stored. The id is public, so
// it comes from a hash of its own: it tells nothing about Hash.
func (g *Guests) login(raw []byte, made time.Time, locale string) chat.Login {
	secret := raw[:secretSize]
	public := sha256.Sum256(append([]byte("teahouse guest id\x00"), secret...))
	id := chat.UserID(binary.BigEndian.Uint64(public[:8]) &^ (1 << 63))
	return chat.Login{
		Hash:    sha256.Sum256(secret),
		User:    chat.User{ID: id, Name: chat.GuestName(id, locale)},
		Created: made,
		Seen:    g.now().UTC().Truncate(time.Second),
		New:     true,
	}
}

// FromRequest is the guest that a request brings in its cookie, or else as
// "Authorization: Bearer". ok is false when it brings none.
func (g *Guests) FromRequest(r *http.Request) (login chat.Login, ok bool, err error) {
	if r.URL.RawQuery != "" && r.URL.Query().Has("token") {
		return chat.Login{}, false, ErrTokenInURL
	}
	token, ok := "", false
	if c, err := r.Cookie(g.cookieName(r)); err == nil {
		token, ok = c.Value, true
	} else if bearer, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found {
		token, ok = strings.TrimSpace(bearer), true
	}
	if !ok {
		return chat.Login{}, false, nil
	}
	login, err = g.FromToken(r.Context(), token, Language(r))
	return login, err == nil, err
}

// Guest is the guest of a page: the one of the request, else a new one, who
// gets the cookie with the answer.
func (g *Guests) Guest(w http.ResponseWriter, r *http.Request) (chat.Login, error) {
	login, ok, err := g.FromRequest(r)
	if ok {
		return login, nil
	}
	if err != nil && !errors.Is(err, ErrBadToken) {
		return chat.Login{}, err
	}
	token, login := g.New(Language(r))
	http.SetCookie(w, &http.Cookie{
		Name:     g.cookieName(r),
		Value:    token,
		Path:     "/",
		MaxAge:   int(Lifetime / time.Second),
		Secure:   g.tls(r),
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
	return login, nil
}

func (g *Guests) tls(r *http.Request) bool { return g.secure || Scheme(r) == "https" }

// cookieName has the prefix that keeps other hosts and plain HTTP from planting
// the cookie, where browsers allow the prefix (RFC 6265bis, section 4.1.3.2).
func (g *Guests) cookieName(r *http.Request) string {
	if g.tls(r) {
		return "__Host-sid"
	}
	return "sid"
}
