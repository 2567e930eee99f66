package chat

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// MaxText is the length of a message in code points, after CleanText.
	MaxText = 8000
	// MaxNonce is the length of a nonce in code points.
	MaxNonce = 64

	maxTextBytes = 64 << 10 // of the text given; bounds the work
)

// CleanText returns a message as it is stored: NFC, lines ended by "\n", without
// the controls C0, C1 and DEL except "\n" and "\t", without white space at its
// end. Everything else, bidi controls included, is kept: who shows a text
// isolates it. CleanText of its result is its result.
//
// Errors: ErrBadText for invalid UTF-8 or U+0000, ErrEmpty when nothing shows,
// ErrTooLong beyond MaxText code points or 64 KiB as given.
func CleanText(s string) (string, error) {
	if len(s) > maxTextBytes {
		return "", ErrTooLong
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("%w: leave out U+0000", ErrBadText)
	}
	if !printableASCII(s) {
		if !utf8.ValidString(s) {
			return "", fmt.Errorf("%w: write it in UTF-8", ErrBadText)
		}
		s = norm.NFC.String(withoutControls(s))
	}
	s = strings.TrimRightFunc(s, unicode.IsSpace)
	if strings.IndexFunc(s, func(r rune) bool { return !blank(r) }) < 0 {
		return "", ErrEmpty
	}
	if len(s) > MaxText && utf8.RuneCountInString(s) > MaxText {
		return "", ErrTooLong
	}
	return s, nil
}

func withoutControls(s string) string {
	if strings.IndexByte(s, '\r') >= 0 {
		s = strings.ReplaceAll(s, "\r\n", "\n")
		s = strings.ReplaceAll(s, "\r", "\n")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// checkNonce refuses what cannot stand for one message for ever.
func checkNonce(s string) error {
	if s == "" || len(s) > MaxNonce*utf8.UTFMax || !utf8.ValidString(s) ||
		utf8.RuneCountInString(s) > MaxNonce || strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return ErrBadNonce
	}
	return nil
}
