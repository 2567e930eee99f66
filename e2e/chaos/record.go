//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/chaos/check"
	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

// record is what all people of a run lived through. Any goroutine may use it.
type record struct {
	start  time.Time     // fixed
	caught time.Duration // see Counts; owned by the run

	// guarded by mu
	mu         sync.Mutex
	history    check.History
	violations []check.Violation
	refusals   map[string]int // error frames by code
	failures   map[string]int // sockets by what ended them
}

func newRecord() *record {
	return &record{start: time.Now(), refusals: make(map[string]int), failures: make(map[string]int)}
}

// now is the time of a run: of one clock that does not jump.
func (r *record) now() time.Duration { return time.Since(r.start) }

func (r *record) post(p check.Post) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Posts = append(r.history.Posts, p)
}

func (r *record) read(x check.Read) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Reads = append(r.history.Reads, x)
}

func (r *record) views(all []check.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Views = append(r.history.Views, all...)
}

func (r *record) log(l check.Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Logs = append(r.history.Logs, l)
}

func (r *record) refused(code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals[code]++
}

// failed notes how a socket ended, or why there was none. Some ways are against
// the protocol whatever is broken.
func (r *record) failed(err error) {
	var closed *socket.Close
	var refused *socket.Refused
	var mistake *guest.Mistake
	var network net.Error
	why, allowed := "other", false
	switch {
	case errors.As(err, &closed):
		why = fmt.Sprint("close ", closed.Code)
		allowed = slices.Contains([]int{1006, wire.CloseRestart, wire.CloseOverloaded, wire.CloseTooSlow}, closed.Code)
	case errors.As(err, &refused):
		why = fmt.Sprint("status ", refused.Status)
		allowed = refused.Status == http.StatusServiceUnavailable
	case errors.As(err, &mistake):
		why, allowed = mistake.Code, mistake.RetryMS > 0
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		why, allowed = "no answer", true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		why, allowed = "no connection", true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures[why]++
	if !allowed {
		r.violations = append(r.violations, check.Violation{Promise: check.Unhealed, What: "a socket ended by " + err.Error()})
	}
}

// spoilt says that a broken promise is noted.
func (r *record) spoilt() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.violations) > 0
}

// violate notes a broken promise.
func (r *record) violate(promise, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, check.Violation{Promise: promise, What: fmt.Sprintf(format, args...)})
}
