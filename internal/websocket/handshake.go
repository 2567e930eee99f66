package websocket

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// HandshakeError says why Begin did not take a request. The client has been
// answered with Status; the text is fit for a log and for the client.
type HandshakeError struct {
	Status  int // 400, 405 or 426
	Problem string
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("websocket handshake: %s (status %d)", e.Problem, e.Status)
}

// maxProtocols bounds how many subprotocols a client may offer.
const maxProtocols = 32

// handshake is what a connection keeps of its request until it is started.
type handshake struct {
	w         http.ResponseWriter
	remote    net.Addr // as the request says, nil when that is not an address
	key       string
	protocols []string
	early     []byte // bytes the client sent behind its request, at most what net/http buffers
}

// Begin checks that r asks for a WebSocket as RFC 6455 section 4.2.1 demands:
// a GET with HTTP/1.1 and no body, upgrade tokens, version 13, a key of 16
// bytes, well-formed subprotocols. If not, it answers (405 for the method, 426
// for what another kind of request could mend, 400 for the rest) and returns
// a [*HandshakeError]. Extensions are not negotiated; the origin is for the
// caller to check.
//
// Options may be nil for a connection with the defaults and a keepalive
// goroutine of its own. Nothing is written on success: the Conn is corked until [Conn.Open].
func Begin(w http.ResponseWriter, r *http.Request, o *Options) (*Conn, error) {
	hs := &handshake{w: w}
	if err := hs.check(r); err != nil {
		h := w.Header()
		switch err.Status {
		case http.StatusMethodNotAllowed:
			h.Set("Allow", http.MethodGet)
		case http.StatusUpgradeRequired:
			h.Set("Upgrade", "websocket")
			h.Set("Connection", "Upgrade")
			h.Set("Sec-WebSocket-Version", "13")
		default:
			h.Set("Connection", "close") // a body that was announced is not waited for
		}
		http.Error(w, err.Problem, err.Status)
		return nil, err
	}
	if addr, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		hs.remote = net.TCPAddrFromAddrPort(addr)
	}
	if o == nil {
		o = new(Options)
	}
	o.prepare()
	return &Conn{o: o, hs: hs, fd: -1, corked: true}, nil
}

// check fills hs from the request, or says what is wrong with it.
func (hs *handshake) check(r *http.Request) *HandshakeError {
	h := r.Header
	version := h["Sec-Websocket-Version"]
	switch {
	case r.Method != http.MethodGet:
		return &HandshakeError{http.StatusMethodNotAllowed, "a WebSocket begins with GET"}
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return &HandshakeError{http.StatusUpgradeRequired, "a WebSocket begins with HTTP/1.1"}
	case !hasToken(h["Upgrade"], "websocket"):
		return &HandshakeError{http.StatusUpgradeRequired, "no Upgrade: websocket"}
	case !hasToken(h["Connection"], "upgrade"):
		return &HandshakeError{http.StatusUpgradeRequired, "no Connection: Upgrade"}
	case len(version) != 1 || version[0] != "13":
		return &HandshakeError{http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13"}
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return &HandshakeError{http.StatusBadRequest, "a WebSocket request has no body"}
	case !validKey(h["Sec-Websocket-Key"]):
		return &HandshakeError{http.StatusBadRequest, "Sec-WebSocket-Key must be 16 bytes in base64"}
	}
	protocols, ok := parseProtocols(h["Sec-Websocket-Protocol"])
	if !ok {
		return &HandshakeError{http.StatusBadRequest, "Sec-WebSocket-Protocol is not a list of different names"}
	}
	hs.key, hs.protocols = h["Sec-Websocket-Key"][0], protocols
	return nil
}

// hasToken says whether one of the comma-separated header values is token.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// validKey wants exactly one header that is the base64 form of 16 bytes.
func validKey(values []string) bool {
	if len(values) != 1 || len(values[0]) != 24 {
		return false
	}
	var b [18]byte
	n, err := base64.StdEncoding.Strict().Decode(b[:], []byte(values[0]))
	return err == nil && n == 16
}

// parseProtocols reads a list of distinct tokens. Empty elements are skipped,
// as HTTP lists allow.
func parseProtocols(values []string) (list []string, ok bool) {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			part = strings.Trim(part, " \t")
			if part == "" {
				continue
			}
			if len(list) == maxProtocols || !validToken(part) || slices.Contains(list, part) {
				return nil, false
			}
			list = append(list, strings.Clone(part)) // not the whole header with it
		}
	}
	return list, true
}

// validToken checks against the token rule of RFC 9110 section 5.6.2.
func validToken(s string) bool {
	for i := range len(s) {
		b := s[i]
		switch {
		case b >= '0' && b <= '9', b >= 'A' && b <= 'Z', b >= 'a' && b <= 'z':
		case strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// acceptKey computes Sec-WebSocket-Accept (section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// ownHeaders are those of the answer that the caller cannot set.
var ownHeaders = map[string]bool{
	"Upgrade": true, "Connection": true, "Content-Length": true, "Content-Type": true, "Transfer-Encoding": true,
	"Sec-Websocket-Accept": true, "Sec-Websocket-Protocol": true, "Sec-Websocket-Extensions": true,
}

// offers says whether the client named a subprotocol.
func (hs *handshake) offers(subprotocol string) bool {
	return slices.Contains(hs.protocols, subprotocol)
}

// answer is the 101 with the given subprotocol and further headers.
func (hs *handshake) answer(subprotocol string, more http.Header) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	b.WriteString(acceptKey(hs.key))
	b.WriteString("\r\n")
	if subprotocol != "" {
		b.WriteString("Sec-WebSocket-Protocol: " + subprotocol + "\r\n")
	}
	// Header.WriteSubset leaves out bad names and turns line breaks into spaces.
	_ = hs.w.Header().WriteSubset(&b, ownHeaders)
	_ = more.WriteSubset(&b, ownHeaders)
	b.WriteString("\r\n")
	return b.Bytes()
}

// hijack takes the connection from net/http. Only hs.early is kept of what
// belonged to the request.
func (hs *handshake) hijack() (net.Conn, error) {
	nc, buffered, err := http.NewResponseController(hs.w).Hijack()
	if err != nil {
		return nil, err
	}
	if n := buffered.Reader.Buffered(); n > 0 {
		p, _ := buffered.Reader.Peek(n)
		hs.early = bytes.Clone(p)
	}
	// A server may look at what comes in before there is a request. Such a
	// wrapper steps aside here: only a socket itself can be tried without waiting.
	if watched, ok := nc.(interface{ Unwatched() net.Conn }); ok {
		nc = watched.Unwatched()
	}
	return nc, nil
}
