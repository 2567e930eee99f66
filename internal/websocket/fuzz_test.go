package websocket

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// transcript is a sink that writes down what it is given, unambiguously.
type transcript struct {
	bytes.Buffer
	max int
}

func (tr *transcript) message(op Opcode, p []byte) {
	fmt.Fprintf(tr, "message %d %d %x\n", op, len(p), p)
	tr.max = max(tr.max, len(p))
	if op == OpText && !utf8.Valid(p) {
		panic("text that is not UTF-8")
	}
}

func (tr *transcript) control(op Opcode, p []byte) error {
	if len(p) > maxControl {
		panic("long control frame")
	}
	if op == OpClose {
		return parseClose(p)
	}
	fmt.Fprintf(tr, "control %d %x\n", op, p)
	return nil
}

// play parses in in pieces of the given size and returns what came of it.
func play(o *Options, in []byte, step int) (said string, code int, rest *incoming) {
	tr := new(transcript)
	in = bytes.Clone(in) // parse unmasks in place
	var err error
	for len(in) > 0 && err == nil {
		n := min(step, len(in))
		rest, err = parse(o, rest, in[:n:n], tr)
		in = in[n:]
	}
	if tr.max > o.MaxMessage {
		panic("a message beyond the limit")
	}
	var why *closeError
	if errors.As(err, &why) {
		code = why.code
	}
	return tr.String(), code, rest
}

// FuzzFrames checks that however bytes are cut into pieces, the same comes of
// them, and that nothing unfinished is larger than allowed.
func FuzzFrames(f *testing.F) {
	for _, a := range attacks {
		if len(a.in) < 4096 {
			f.Add([]byte(a.in), 3)
		}
	}
	f.Add([]byte(frames(fin|text, "茶", text, "a", fin|ping, "p", fin|cont, "b", fin|clos, closePayload(1000, "x"))), 5)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		o := &Options{MaxMessage: 300, MaxFragments: 4}
		step = 1 + (step&0x7FFFFFFF)%64
		whole, code, rest := play(o, in, len(in)+1)
		if rest != nil && len(rest.msg) > o.MaxMessage {
			t.Fatalf("%d bytes are held", len(rest.msg))
		}
		pieces, piecesCode, _ := play(o, in, step)
		if whole != pieces || code != piecesCode {
			t.Fatalf("at once:\n%sclose %d\nin pieces of %d:\n%sclose %d", whole, code, step, pieces, piecesCode)
		}
	})
}

// FuzzUTF8 compares the incremental check with the whole one.
func FuzzUTF8(f *testing.F) {
	f.Add([]byte("aé茶🍵"), 1)
	f.Add([]byte("\xf4\x90\x80\x80"), 2)
	f.Add([]byte("\xed\xa0\x80"), 1)
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		step = 1 + (step&0x7FFFFFFF)%8
		var u utf8Check
		ok := true
		for p := in; len(p) > 0 && ok; {
			n := min(step, len(p))
			ok = u.add(p[:n])
			p = p[n:]
		}
		if got := ok && u.done(); got != utf8.Valid(in) {
			t.Fatalf("%q in pieces of %d: %v", in, step, got)
		}
	})
}

// FuzzHandshake checks that what is accepted is what the standard allows.
func FuzzHandshake(f *testing.F) {
	for _, h := range handshakes {
		f.Add(strings.Replace(upgradeRequest, h.replace[0], h.replace[1], 1) + "\r\n")
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		c, err := Begin(w, r, nil)
		if err != nil {
			if w.Code != 400 && w.Code != 405 && w.Code != 426 {
				t.Fatalf("refused with %d", w.Code)
			}
			return
		}
		key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key"))
		if err != nil || len(key) != 16 || r.Method != "GET" || r.Header.Get("Sec-Websocket-Version") != "13" {
			t.Fatalf("accepted %q", raw)
		}
		for _, p := range c.Subprotocols() {
			answer := string(c.hs.answer(p, r.Header))
			if strings.Count(answer, "\r\n\r\n") != 1 || !strings.HasSuffix(answer, "\r\n\r\n") {
				t.Fatalf("answer %q", answer)
			}
		}
	})
}
