package websocket

import "unicode/utf8"

// utf8Check validates text that arrives in pieces, failing at the first byte
// that no continuation could make valid.
type utf8Check struct {
	tail [utf8.UTFMax]byte // a sequence begun but not finished
	n    int               // bytes of tail
}

// add reports whether everything so far is the beginning of valid UTF-8.
func (u *utf8Check) add(p []byte) bool {
	for u.n > 0 && len(p) > 0 {
		u.tail[u.n] = p[0]
		u.n++
		p = p[1:]
		if !utf8.FullRune(u.tail[:u.n]) {
			continue
		}
		if r, size := utf8.DecodeRune(u.tail[:u.n]); r == utf8.RuneError && size == 1 {
			return false
		}
		u.n = 0
	}
	// At most three bytes at the end can be a sequence still unfinished.
	for i := 1; i <= min(utf8.UTFMax-1, len(p)); i++ {
		start := len(p) - i
		if !utf8.RuneStart(p[start]) {
			continue
		}
		if !utf8.FullRune(p[start:]) {
			u.n = copy(u.tail[:], p[start:])
			p = p[:start]
		}
		break
	}
	return utf8.Valid(p)
}

// done reports whether no sequence is left unfinished.
func (u *utf8Check) done() bool { return u.n == 0 }
