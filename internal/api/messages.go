package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// page is the answer to GET messages.
type page struct {
	Room     string         `json:"room"`
	Messages []wire.Message `json:"messages"`
	First    bool           `json:"first"`
	Last     bool           `json:"last"`
}

func (h *handler) messages(w http.ResponseWriter, r *http.Request) {
	if _, _, err := h.Identities.FromRequest(r); err != nil {
		fail(w, err)
		return
	}
	room, err := chat.RoomSlug(r.PathValue("room"))
	if err != nil {
		fail(w, err)
		return
	}
	within, err := readRange(r.URL.Query())
	if err != nil {
		fail(w, err)
		return
	}
	p, err := h.Service.Page(r.Context(), room, within)
	if err != nil {
		fail(w, err)
		return
	}
	out := page{Room: room, Messages: make([]wire.Message, 0, len(p.Messages)), First: p.First, Last: p.Last}
	for _, m := range p.Messages {
		out.Messages = append(out.Messages, wireMessage(m))
	}
	writeJSON(w, http.StatusOK, out)
}

func readRange(q url.Values) (chat.Range, error) {
	within := chat.Newest(0)
	for name, into := range map[string]*int64{"before": &within.Before, "after": &within.After, "around": &within.Around} {
		if !q.Has(name) {
			continue
		}
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil || n < 0 || len(q[name]) > 1 {
			return within, fmt.Errorf("%w: %s is not one whole number of at least 0", chat.ErrBadQuery, name)
		}
		*into = n
	}
	if q.Has("limit") {
		n, err := strconv.ParseInt(q.Get("limit"), 10, 64)
		if err != nil || n < 0 {
			return within, fmt.Errorf("%w: limit is not a whole number of at least 0", chat.ErrBadQuery)
		}
		within.Limit = int(min(n, chat.MaxPage))
	}
	return within, nil
}

func wireMessage(m chat.Message) wire.Message {
	return wire.Message{
		Seq:    m.Seq,
		Author: wire.Person{ID: m.Author.ID.String(), Name: m.Author.Name, Tag: m.Author.ID.Tag()},
		Text:   m.Text,
		At:     wire.Time{Time: m.At},
		Nonce:  m.Nonce,
	}
}

func (h *handler) post(w http.ResponseWriter, r *http.Request) {
	room, err := chat.RoomSlug(r.PathValue("room"))
	if err != nil {
		fail(w, err)
		return
	}
	if _, _, err := h.Identities.FromRequest(r); err != nil {
		fail(w, err)
		return
	}
	text, nonce, ok := readPost(w, r)
	if !ok {
		return
	}
	login, err := h.Identities.Guest(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), bodyTimeout)
	defer cancel()
	m, duplicate, err := h.Service.Post(ctx, chat.Post{
		Room: room, Author: login.User, Login: &login, Nonce: nonce, Text: text, Address: r.RemoteAddr,
	})
	switch {
	case err != nil:
		fail(w, err)
	case duplicate:
		writeJSON(w, http.StatusOK, wireMessage(m))
	default:
		writeJSON(w, http.StatusCreated, wireMessage(m))
	}
}

// readPost reads {"text","nonce"} as JSON, or the text itself. When ok is
// false the request has been answered.
func readPost(w http.ResponseWriter, r *http.Request) (text, nonce string, ok bool) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		kind = "?"
	}
	// A server without connections of its own (a test's recorder) has no deadline.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxFrame))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		writeError(w, http.StatusRequestEntityTooLarge, failure{"too_long", "the body is larger than 64 KiB", hints["too_long"]})
		return "", "", false
	case err != nil:
		writeError(w, http.StatusRequestTimeout, failure{"bad_query", "the body did not arrive", "send it again"})
		return "", "", false
	}
	switch kind {
	case "application/json":
		text, nonce, err = wire.DecodePost(body)
		var bad *wire.Error
		if errors.As(err, &bad) {
			writeError(w, http.StatusBadRequest, failure{bad.Code, bad.Message, `send {"text":"…","nonce":"…"}`})
			return "", "", false
		}
	// curl -d says that everything is a form; this body is text all the same.
	case "", "text/plain", "application/x-www-form-urlencoded":
		if !utf8.Valid(body) {
			fail(w, chat.ErrBadText)
			return "", "", false
		}
		text = strings.TrimSuffix(string(body), "\n")
	default:
		writeError(w, http.StatusUnsupportedMediaType, failure{"bad_type", "the body is neither JSON nor plain text",
			"send Content-Type: application/json or text/plain"})
		return "", "", false
	}
	if nonce == "" {
		nonce = rand.Text()
	}
	return text, nonce, true
}
