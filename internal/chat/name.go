package chat

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// MaxName is the length of a person's name in code points, after UserName.
	MaxName = 32

	maxNameBytes = 512 // of the name given; bounds the work
	maxNameMarks = 4   // combining marks on one base
)

// UserName returns a person's name as it is stored: NFKC, white space at the
// ends removed and inside collapsed to single spaces, variation selectors
// dropped. UserName of its result is its result.
//
// Refused with ErrBadName, each with a sentence for the person: nothing
// visible, more than MaxName code points or four combining marks on one base,
// controls, bidi controls and other invisible characters (joiners that change
// what is seen are allowed, see RoomSlug), scripts that are not written
// together, and names that pass for a reserved one, such as "аdmin" with a
// Cyrillic а.
func UserName(s string) (string, error) {
	switch {
	case len(s) > maxNameBytes:
		return "", badName("use at most %d characters", MaxName)
	case !utf8.ValidString(s):
		return "", badName("write it in UTF-8")
	}
	s, err := nameRunes(norm.NFKC.String(s))
	if err != nil {
		return "", err
	}
	s = norm.NFKC.String(s) // what was dropped may have stood between a letter and its mark
	switch {
	case strings.IndexFunc(s, func(r rune) bool { return !blank(r) && !unicode.IsMark(r) }) < 0:
		return "", badName("use at least one visible character")
	case utf8.RuneCountInString(s) > MaxName:
		return "", badName("use at most %d characters", MaxName)
	}
	if err := oneWriting(s); err != nil {
		return "", err
	}
	if reserved(s) {
		return "", badName("it looks like a name kept for the server, choose another")
	}
	return s, nil
}

func badName(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrBadName}, args...)...)
}

func nameRunes(s string) (string, error) {
	var b strings.Builder
	var prev rune
	space, marks := false, 0
	for i, r := range s {
		switch {
		case unicode.IsControl(r):
			return "", badName("leave out control characters and line breaks")
		case noncharacter(r) || unicode.Is(unicode.Co, r):
			return "", badName("leave out U+%04X, which looks different everywhere", r)
		case unicode.IsSpace(r):
			space = true
			continue
		case unicode.Is(unicode.Variation_Selector, r):
			continue
		case r == zwj || r == zwnj:
			if space || endsInJoiner(b.String()) || !joins(r, prev, nextVisible(s[i+utf8.RuneLen(r):])) {
				return "", badName("leave out invisible characters such as U+%04X", r)
			}
			b.WriteRune(r)
			continue
		case invisible(r):
			return "", badName("leave out invisible characters such as U+%04X", r)
		}
		if marks++; !unicode.IsMark(r) {
			marks = 0
		}
		if marks > maxNameMarks {
			return "", badName("use at most %d combining marks on one letter", maxNameMarks)
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space, prev = false, r
		b.WriteRune(r)
	}
	return b.String(), nil
}

// scriptSet is a set of the scripts that are told apart by bit; every other
// script has the bit otherScript.
type scriptSet uint

const (
	latin scriptSet = 1 << iota
	han
	hiragana
	katakana
	hangul
	bopomofo
	otherScript
)

// mixable are the sets of scripts that are written together: the "highly
// restrictive" level of UTS #39, section 5.2.
var mixable = [...]scriptSet{
	latin | han | hiragana | katakana,
	latin | han | bopomofo,
	latin | han | hangul,
}

// oneWriting refuses names in scripts that are not written together: a Greek or
// Cyrillic letter among Latin ones is there to deceive. Characters of no script
// (digits, punctuation, emoji) go with everything.
func oneWriting(s string) error {
	var set scriptSet
	first := ""
	for _, r := range s {
		name, bit := scriptOf(r)
		if bit == otherScript {
			if first != "" && first != name {
				return badName("write it in one script, not in %s and %s", first, name)
			}
			first = name
		}
		set |= bit
	}
	if set == otherScript {
		return nil
	}
	for _, m := range mixable {
		if set&^m == 0 {
			return nil
		}
	}
	return badName("write it in scripts that belong together, such as Latin alone or Chinese with Latin")
}

// scriptOf names the script of r; the empty name and set are for characters
// shared by all (Common, Inherited) and those no table knows yet.
func scriptOf(r rune) (string, scriptSet) {
	switch {
	case unicode.In(r, unicode.Common, unicode.Inherited):
		return "", 0
	case unicode.Is(unicode.Latin, r):
		return "Latin", latin
	case unicode.Is(unicode.Han, r):
		return "Han", han
	case unicode.Is(unicode.Hiragana, r):
		return "Hiragana", hiragana
	case unicode.Is(unicode.Katakana, r):
		return "Katakana", katakana
	case unicode.Is(unicode.Hangul, r):
		return "Hangul", hangul
	case unicode.Is(unicode.Bopomofo, r):
		return "Bopomofo", bopomofo
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name, otherScript
		}
	}
	return "", 0
}
