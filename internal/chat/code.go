package chat

import "errors"

// codes is fixed: the names by which programs know the refusals. They are the
// codes of wire.ErrorFrame and of the HTTP API.
var codes = []struct {
	err  error
	code string
}{
	{ErrBadRoom, "bad_room"},
	{ErrBadName, "bad_name"},
	{ErrBadText, "bad_text"},
	{ErrEmpty, "empty"},
	{ErrTooLong, "too_long"},
	{ErrBadNonce, "bad_nonce"},
	{ErrBadQuery, "bad_query"},
	{ErrBadSeq, "bad_seq"},
	{ErrNonceConflict, "nonce_conflict"},
	{ErrNoRoom, "not_found"},
	{ErrBusy, "busy"},
	{ErrClosed, "busy"},
}

// Code is the name of a refusal for programs, and a sentence for people that
// says what to do. A failure of the store is "unavailable", and the sentence
// keeps its insides to the log.
func Code(err error) (code, sentence string) {
	var rate *RateError
	if errors.As(err, &rate) {
		return "rate_limited", err.Error()
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code, err.Error()
		}
	}
	return "unavailable", ErrUnavailable.Error() + ": try again in a moment"
}
