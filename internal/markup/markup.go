// Package markup finds what deserves more than plain letters in the text of a
// message, and gives every person the mark they are recognised by.
//
// A text becomes Segments: runs of plain text and links. It never becomes HTML;
// whoever shows it makes elements and puts the segments into them as text. The
// page does the same in JavaScript (web/static/text.js); the files in testdata
// are run by both, so a message looks the same from either side.
package markup

import (
	"hash/fnv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxURL is the length in bytes above which an address is left as text.
const MaxURL = 2048

// Hues is the number of colours that people are shown in.
const Hues = 24

// Segment is a run of a message's text. The Texts of all segments, put
// together, are the message.
type Segment struct {
	Text string
	URL  string // http or https address, equal to Text; empty for plain text
}

// Segments cuts text into plain runs and links. An address begins with http://
// or https:// where no ASCII letter or digit stands before it, and ends before
// white space, quotes, angle brackets, invisible characters and Chinese
// punctuation; closing punctuation at its end is not part of it, except for
// brackets that were opened inside. An address with a user name ("@" before the
// path) is no link, since it looks like another host's.
func Segments(text string) []Segment {
	var out []Segment
	plain := 0 // start of the plain run not yet in out
	for at := 0; at < len(text); {
		next := indexScheme(text[at:])
		if next < 0 {
			break
		}
		start := at + next
		size := linkLen(text[start:])
		if size == 0 || start > 0 && isWord(text[start-1]) {
			at = start + len("http")
			continue
		}
		if start > plain {
			out = append(out, Segment{Text: text[plain:start]})
		}
		link := text[start : start+size]
		out = append(out, Segment{Text: link, URL: link})
		at, plain = start+size, start+size
	}
	if plain < len(text) {
		out = append(out, Segment{Text: text[plain:]})
	}
	return out
}

// Hue is the colour of the person with this id, in [0, Hues).
func Hue(id string) int {
	h := fnv.New32a()
	h.Write([]byte(id)) // never fails
	return int(h.Sum32() % Hues)
}

// Seal is the character on a person's seal: the first of the name, upper case.
func Seal(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsSymbol(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return "·"
}

// indexScheme is the place of the next "http", in any case, or -1.
func indexScheme(s string) int {
	for i := 0; i+4 <= len(s); i++ {
		if s[i]|0x20 == 'h' && strings.EqualFold(s[i:i+4], "http") {
			return i
		}
	}
	return -1
}

// linkLen is the length in bytes of the address that s begins with, or 0.
func linkLen(s string) int {
	head := len("http://")
	if len(s) > 4 && s[4]|0x20 == 's' {
		head++
	}
	if len(s) <= head || !strings.EqualFold(s[:head], "https://"[:head]) && !strings.EqualFold(s[:head], "http://") {
		return 0
	}
	end := head
	for end < len(s) {
		r, size := utf8.DecodeRuneInString(s[end:])
		if endsLink(r) {
			break
		}
		end += size
	}
	end = head + len(trimEnd(s[head:end]))
	authority, _, _ := strings.Cut(s[head:end], "/")
	if i := strings.IndexAny(authority, "?#"); i >= 0 {
		authority = authority[:i]
	}
	first, _ := utf8.DecodeRuneInString(authority)
	switch {
	case authority == "", end > MaxURL, strings.ContainsAny(authority, "@\\"):
		return 0
	case !unicode.IsLetter(first) && !unicode.IsNumber(first) && first != '[':
		return 0
	}
	return end
}

// endsLink tells whether r cannot be inside an address.
func endsLink(r rune) bool {
	switch {
	case r <= ' ', r == 0x7f, unicode.IsSpace(r), unicode.Is(unicode.C, r):
		return true
	case r == '<', r == '>', r == '"', r == '`', r == utf8.RuneError:
		return true
	case r >= 0x2018 && r <= 0x201f, r == 0x2026, r == 0x2014: // curly quotes, …, —
		return true
	case r >= 0x3000 && r <= 0x303f: // 、。「」【】 and their kin
		return true
	}
	return strings.ContainsRune("！（），：；？［］｛｝～｡｢｣､", r)
}

// trimEnd drops punctuation that closes the sentence rather than the address.
func trimEnd(s string) string {
	for s != "" {
		last := s[len(s)-1]
		switch last {
		case '.', ',', ';', ':', '!', '?', '\'', '*', '_', '~', '|':
		case ')', ']', '}':
			open := map[byte]string{')': "(", ']': "[", '}': "{"}[last]
			if strings.Count(s, string(last)) <= strings.Count(s, open) {
				return s
			}
		default:
			return s
		}
		s = s[:len(s)-1]
	}
	return s
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
