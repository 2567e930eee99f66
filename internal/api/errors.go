package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/teahouse-chat/teahouse/internal/auth"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

// failure is the body of every error.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// hints is fixed: what to do about each code.
var hints = map[string]string{
	"bad_room":       "a room name is 1 to 64 characters without controls and without /",
	"bad_text":       "send Unicode text in UTF-8 without U+0000",
	"bad_nonce":      "send 1 to 64 characters without controls, or leave the nonce out",
	"bad_query":      "give one of before, after and around, each a whole number of at least 0",
	"empty":          "write something that can be seen",
	"too_long":       "split the text into several messages",
	"nonce_conflict": "make a new nonce for every new text",
	"rate_limited":   "wait as long as Retry-After says",
	"busy":           "try again after Retry-After, with the same nonce",
	"unavailable":    "try again after Retry-After, with the same nonce",
}

// statuses is fixed; every code that is not here is 400.
var statuses = map[string]int{
	"empty":          http.StatusUnprocessableEntity,
	"too_long":       http.StatusUnprocessableEntity,
	"bad_text":       http.StatusUnprocessableEntity,
	"nonce_conflict": http.StatusConflict,
	"rate_limited":   http.StatusTooManyRequests,
	"busy":           http.StatusServiceUnavailable,
	"unavailable":    http.StatusServiceUnavailable,
	"not_found":      http.StatusNotFound,
}

// fail answers with what the domain or the identities said.
func fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, auth.ErrBadToken):
		writeError(w, http.StatusUnauthorized, failure{"bad_token", err.Error(), "drop the cookie or the Authorization header"})
		return
	case errors.Is(err, auth.ErrTokenInURL):
		writeError(w, http.StatusBadRequest, failure{"bad_query", err.Error(), "addresses end up in logs"})
		return
	}
	code, sentence := chat.Code(err)
	status, ok := statuses[code]
	if !ok {
		status = http.StatusBadRequest
	}
	if wait := chat.RetryAfter(err); wait > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	writeError(w, status, failure{code, sentence, hints[code]})
}

func writeError(w http.ResponseWriter, status int, f failure) { writeJSON(w, status, f) }

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// The client may be gone; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(v)
}
