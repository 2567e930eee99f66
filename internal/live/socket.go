package live

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

// socket is what both kinds of sockets hold against the limits.
type socket struct {
	server  *Server
	address string      // host and port of the client
	opened  time.Time   // the person's name was read later
	id      chat.UserID // 0 while the user is not counted
	counted bool        // whether the address is
}

// open admits a new socket: its address against the rate and the number of
// sockets, its person against theirs. known is false when the request brings
// no identity. An error is a refusal, and nothing is held then.
func (k *socket) open(s *Server, c *channels.Conn) (login chat.Login, known bool, err error) {
	k.server, k.address, k.opened = s, c.RemoteAddr().String(), time.Now()
	if wait := s.limiter.Take(chat.LimitHandshakes, k.address); wait > 0 {
		return login, false, refuseFor(wait, "Too many connections at once: wait a moment.")
	}
	login, known, err = s.identities.FromRequest(c.Request())
	if err != nil {
		if chat.RetryAfter(err) > 0 {
			return login, false, refuse(http.StatusServiceUnavailable, chat.RetryAfter(err), "The store is not available.")
		}
		return login, false, &channels.Refusal{Status: refusalStatus(err), Text: err.Error()}
	}
	if !s.sockets.AcquireAddress(k.address) {
		return login, false, refuseFor(10*time.Second, "Too many open connections from this address.")
	}
	k.counted = true
	if known {
		if err := k.user(login.User.ID); err != nil {
			k.close()
			return login, false, err
		}
	}
	return login, known, nil
}

// refusalStatus is the answer to what a request brings as its identity: the
// status that the error names, else 401.
func refusalStatus(err error) int {
	var named interface{ Status() int }
	if errors.As(err, &named) {
		return named.Status()
	}
	return http.StatusUnauthorized
}

var errTooManySockets = errors.New("too many open connections of this person: close another tab")

// user counts the socket for its person.
func (k *socket) user(id chat.UserID) error {
	if !k.server.sockets.AcquireUser(id) {
		return refuseFor(10*time.Second, errTooManySockets.Error())
	}
	k.id = id
	return nil
}

// close gives back what is held; it may be called again.
func (k *socket) close() {
	if k.counted {
		k.server.sockets.ReleaseAddress(k.address)
		k.counted = false
	}
	if k.id != 0 {
		k.server.sockets.ReleaseUser(k.id)
		k.id = 0
	}
}

func refuseFor(wait time.Duration, text string) error {
	return refuse(http.StatusTooManyRequests, wait, text)
}

func refuse(status int, wait time.Duration, text string) error {
	seconds := int64((wait + time.Second - 1) / time.Second)
	return &channels.Refusal{
		Status: status, Header: http.Header{"Retry-After": {strconv.FormatInt(seconds, 10)}}, Text: text,
	}
}
