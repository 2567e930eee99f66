package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/wire"
)

type vector struct {
	Name  string
	Frame string
	Ref   string
	Nonce string
	Want  map[string]any
	Error string
}

func vectors(t testing.TB, file string) []vector {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(data, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

// flat is a frame as the vectors write it: its own JSON with the type.
func flat(t testing.TB, f wire.Frame) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(wire.Encode(f), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestClientVectors(t *testing.T) {
	for _, v := range vectors(t, "client.json") {
		t.Run(v.Name, func(t *testing.T) {
			req, err := wire.Decode([]byte(v.Frame))
			if v.Error != "" {
				var bad *wire.Error
				if !errors.As(err, &bad) {
					t.Fatalf("got %+v, %v; want error %s", req, err, v.Error)
				}
				got := bad.Frame()
				if got.Code != v.Error || got.Ref != v.Ref || got.Nonce != v.Nonce || got.Message == "" {
					t.Fatalf("got %+v; want code %q ref %q nonce %q", got, v.Error, v.Ref, v.Nonce)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if req.Ref != v.Ref {
				t.Errorf("ref %q, want %q", req.Ref, v.Ref)
			}
			if diff := cmp.Diff(v.Want, flat(t, req.Frame)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			again, err := wire.Decode(wire.EncodeRequest(req.Ref, req.Frame))
			if err != nil {
				t.Fatalf("written again: %v", err)
			}
			if diff := cmp.Diff(req, again); diff != "" {
				t.Errorf("written and read again (-first +again)\n%s", diff)
			}
		})
	}
}

func TestServerVectors(t *testing.T) {
	for _, v := range vectors(t, "server.json") {
		t.Run(v.Name, func(t *testing.T) {
			f, err := wire.DecodeServer([]byte(v.Frame))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(wire.Encode(f)); got != v.Frame {
				t.Errorf("written again\n got %s\nwant %s", got, v.Frame)
			}
		})
	}
}

func TestDecodeServerPassesOverTypesOfNewerServers(t *testing.T) {
	f, err := wire.DecodeServer([]byte(`{"type":"from_the_future","x":1}`))
	if f != nil || err != nil {
		t.Errorf("got %v, %v; want nothing", f, err)
	}
	if _, err := wire.DecodeServer([]byte(`{"type":"message","seq":"1"}`)); err == nil {
		t.Error("a message whose seq is a string was accepted")
	}
	if _, err := wire.DecodeServer([]byte(`nonsense`)); err == nil {
		t.Error("nonsense was accepted")
	}
}

func TestHostileShapesAreRefused(t *testing.T) {
	keys := &strings.Builder{}
	for i := range wire.MaxKeys + 1 {
		fmt.Fprintf(keys, `,"k%d":1`, i)
	}
	for name, c := range map[string]struct{ frame, code string }{
		"a hundred thousand brackets":    {strings.Repeat("[", 100_000), wire.CodeTooDeep},
		"deep and closed":                {strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), wire.CodeTooDeep},
		"more keys than allowed":         {`{"type":"ping"` + keys.String() + `}`, wire.CodeBadEnvelope},
		"more keys than allowed, nested": {`{"type":"ping","x":{"k":1` + keys.String() + `}}`, wire.CodeBadEnvelope},
		"invalid UTF-8":                  {"{\"type\":\"ping\",\"x\":\"\xff\"}", wire.CodeBadJSON},
		"a ref of 65 characters":         {`{"type":"ping","ref":"` + strings.Repeat("茶", 65) + `"}`, wire.CodeBadType},
		"only white space":               {" \n\t ", wire.CodeBadJSON},
		"an unfinished string":           {`{"type":"pi`, wire.CodeBadJSON},
		"a backslash at the end":         {`{"type":"\`, wire.CodeBadJSON},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wire.Decode([]byte(c.frame))
			var bad *wire.Error
			if !errors.As(err, &bad) || bad.Code != c.code {
				t.Errorf("got %v, want %s", err, c.code)
			}
		})
	}
}

func TestPlainProtocol(t *testing.T) {
	for _, c := range []struct{ name, frame, text, code string }{
		{"a message", `{"message":"hi <b>"}`, "hi <b>", ""},
		{"more keys", `{"message":"hi","x":[1]}`, "hi", ""},
		{"an empty one is for the domain to refuse", `{"message":""}`, "", ""},
		{"bad JSON", `{"message":`, "", wire.CodeBadJSON},
		{"no message", `{"text":"hi"}`, "", wire.CodeBadEnvelope},
		{"not a string", `{"message":{"$gt":""}}`, "", wire.CodeBadType},
		{"null", `{"message":null}`, "", wire.CodeBadType},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, err := wire.DecodePlain([]byte(c.frame))
			var bad *wire.Error
			if c.code == "" && (err != nil || text != c.text) || c.code != "" && (!errors.As(err, &bad) || bad.Code != c.code) {
				t.Errorf("got %q, %v; want %q, %q", text, err, c.text, c.code)
			}
		})
	}
	got := string(wire.EncodePlain(wire.PlainMessage{Message: "你好", Username: "A", Seq: 1}))
	if want := `{"message":"你好","username":"A","seq":1}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
