package load

import (
	"bytes"
	"time"
)

// A text of the generator says who posted it, the how manieth post of theirs it
// is, and when it was due, and is filled up to its size with letters that follow
// from the first two. It is plain ASCII without quotes or backslashes, so that
// it stands unchanged in any JSON:
//
//	~ 5 digits poster, 8 digits number, 12 digits nanoseconds, letters
//
// The digits are hexadecimal; the clock is the generator's own.
const (
	textMark   = '~'
	posterEnd  = 1 + 5
	numberEnd  = posterEnd + 8
	textHead   = numberEnd + 12
	maxPosters = 1 << 20
)

// letters is a run of the alphabet long enough for any text at any beginning.
var letters = bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz"), MaxSize/26+2)

// stamp is what a text says about its post.
type stamp struct {
	poster uint32        // number of the poster in this run
	number uint32        // 1, 2, 3, ... of that poster
	due    time.Duration // on the generator's clock
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	const hex = "0123456789abcdef"
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hex[v>>shift&15])
	}
	return dst
}

// appendText writes the text of a post in size bytes.
func appendText(dst []byte, s stamp, size int) []byte {
	dst = append(dst, textMark)
	dst = appendHex(dst, uint64(s.poster), posterEnd-1)
	dst = appendHex(dst, uint64(s.number), numberEnd-posterEnd)
	dst = appendHex(dst, uint64(s.due), textHead-numberEnd)
	return append(dst, s.filling(size)...)
}

// filling is what must stand behind the stamp.
func (s stamp) filling(size int) []byte {
	from := int((s.poster + s.number) % 26)
	return letters[from : from+size-textHead]
}

// readText reads a text back; ok is false unless it is, byte for byte, what
// appendText writes.
func readText(text []byte, size int) (s stamp, ok bool) {
	if len(text) != size || size < textHead || text[0] != textMark {
		return stamp{}, false
	}
	head, bad := uint64(0), byte(0)
	for _, c := range text[1:numberEnd] {
		d := digit(c)
		bad |= d
		head = head<<4 | uint64(d)
	}
	due := uint64(0)
	for _, c := range text[numberEnd:textHead] {
		d := digit(c)
		bad |= d
		due = due<<4 | uint64(d)
	}
	// 13 digits of head fit 52 bits: 20 of the poster and 32 of the number.
	s = stamp{poster: uint32(head >> 32), number: uint32(head), due: time.Duration(due)}
	return s, bad < 16 && bytes.Equal(text[textHead:], s.filling(size))
}

// digit is the value of a hexadecimal digit, or 255.
func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// NextText finds the next text of the generator in a frame: from its mark to the
// quote or backslash that ends it in JSON. rest is what follows.
func NextText(frame []byte) (text, rest []byte, ok bool) {
	from := bytes.IndexByte(frame, textMark)
	if from < 0 {
		return nil, nil, false
	}
	frame = frame[from:]
	end := bytes.IndexByte(frame, '"')
	if end < 0 {
		return nil, nil, false
	}
	if end > 0 && frame[end-1] == '\\' { // a JSON text inside a JSON string
		return frame[:end-1], frame[end:], true
	}
	return frame[:end], frame[end:], true
}
