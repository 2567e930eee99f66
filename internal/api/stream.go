package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// streamWrite is how long one write of a stream may take before the reader is
// given up; it comes back with its Last-Event-ID.
const streamWrite = 30 * time.Second

// stream sends a room's messages as server-sent events (WHATWG HTML, section
// 9.2). The id of an event is the epoch and the seq, so that a position from
// before a restored backup is known for what it is.
func (h *handler) stream(w http.ResponseWriter, r *http.Request) {
	if _, _, err := h.Identities.FromRequest(r); err != nil {
		fail(w, err)
		return
	}
	if !h.Sockets.AcquireAddress(r.RemoteAddr) {
		fail(w, &chat.RateError{Limit: chat.LimitHandshakes, Wait: 10 * time.Second})
		return
	}
	defer h.Sockets.ReleaseAddress(r.RemoteAddr)
	from, err := h.position(r)
	if err != nil {
		fail(w, err)
		return
	}
	room, err := h.Service.Room(r.Context(), r.PathValue("room"))
	if err != nil && !errors.Is(err, chat.ErrNoRoom) {
		fail(w, err)
		return
	}
	hello := "retry: 2000\n\n"
	switch {
	case from.After < 0:
		from.After = room.LastSeq // only what is new
	case from.After > room.LastSeq || from.Epoch != h.Service.Epoch():
		// What the reader holds is of no use: say so, and start with the newest.
		from.After = max(0, room.LastSeq-chat.DefaultPage)
		hello += "event: reset\ndata: {}\n\n"
	}
	s := &events{out: w, control: http.NewResponseController(w), epoch: h.Service.Epoch()}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold the events back
	if s.write(hello) != nil {
		return
	}
	// The stream ends with its reader or the server; both know.
	_ = h.Follower.Follow(r.Context(), r.PathValue("room"), from.After, s.messages, s.idle)
}

// position is where the reader stands: Last-Event-ID, else after, else the end.
func (h *handler) position(r *http.Request) (chat.Position, error) {
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		epoch, seq, _ := strings.Cut(id, "-")
		n, err := strconv.ParseInt(seq, 10, 64)
		if err != nil || n < 0 {
			return chat.Position{}, chat.ErrBadQuery
		}
		return chat.Position{After: n, Epoch: epoch}, nil
	}
	within, err := readRange(r.URL.Query())
	if err != nil || within.Before >= 0 || within.Around >= 0 {
		return chat.Position{}, chat.ErrBadQuery
	}
	epoch := r.URL.Query().Get("epoch")
	if epoch == "" {
		epoch = h.Service.Epoch() // the reader does not care
	}
	return chat.Position{After: within.After, Epoch: epoch}, nil
}

// events writes one stream.
type events struct {
	out     http.ResponseWriter
	control *http.ResponseController
	epoch   string
}

func (s *events) messages(ms []chat.Message) error {
	var b strings.Builder
	for _, m := range ms {
		data, err := json.Marshal(wireMessage(m))
		if err != nil {
			return fmt.Errorf("encode message: %w", err)
		}
		fmt.Fprintf(&b, "id: %s-%d\nevent: message\ndata: %s\n\n", s.epoch, m.Seq, data)
	}
	return s.write(b.String())
}

// idle keeps proxies from closing the stream.
func (s *events) idle() error { return s.write(": still here\n\n") }

func (s *events) write(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	if _, err := s.out.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
