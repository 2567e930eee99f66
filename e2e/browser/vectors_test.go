package browser_test

import (
	_ "embed"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/wire"
)

// runVectors is the body of the test in the page.
//
//go:embed testdata/vectors.js
var runVectors string

// outcome is what a frame did to the client in the page.
type outcome struct {
	State, You string
	Told       []string        // events, in short
	Answer     json.RawMessage // of the request that the frame answers
}

func TestTheClientInTheBrowserTakesTheSharedVectors(t *testing.T) {
	text, err := os.ReadFile("../../wire/testdata/server.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Name, Frame string }
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	s := server.Start(t)
	a := enter(t, s.URL, "vectors", chrome.Look{})
	got := chrome.Eval[struct {
		Outcome map[string]outcome
		Sent    []string
	}](a, `(`+runVectors+`)(`+string(text)+`)`)

	told := map[string][]string{
		"joined an empty room":   {`reset {"first":true}`, `here 1`},
		"joined with a reset":    {`reset {"first":false}`, `here 120`},
		"messages":               {`message "hi <b>&"`},
		"message":                {`message "你好"`},
		"ack":                    {`entry "sent"`},
		"typing":                 {`typing {"people":[]}`}, // the vector's only person is oneself
		"here, a change":         {`here 2`},
		"here, too many changes": {`here 900`},
		"renamed":                {`renamed {"id":"0123456789abc","name":"B","tag":"k3f9"}`},
	}
	for _, v := range vectors {
		o := got.Outcome[v.Name]
		if o.State != "open" {
			t.Errorf("%s: the client is %q", v.Name, o.State)
		}
		if want, ok := told[v.Name]; ok && !cmp.Equal(o.Told, want) {
			t.Errorf("%s: told %q, want %q", v.Name, o.Told, want)
		}
	}
	if you := got.Outcome["welcome of a client without a cookie"].You; you != "静谧白鹭" {
		t.Errorf("welcomed as %q", you)
	}
	if answer := string(got.Outcome["history"].Answer); answer == `"none"` || answer == "null" {
		t.Errorf("history resolves to %s", answer)
	}

	kinds := map[string]bool{}
	for _, frame := range got.Sent {
		req, err := wire.Decode([]byte(frame))
		if err != nil {
			t.Errorf("the server does not take %s: %v", frame, err)
			continue
		}
		kinds[req.Frame.FrameType()] = true
	}
	for _, kind := range []string{
		wire.TypeHello, wire.TypeJoin, wire.TypePost, wire.TypeTyping, wire.TypeHistory, wire.TypeWho, wire.TypeRename, wire.TypePing, wire.TypeLeave,
	} {
		if !kinds[kind] {
			t.Errorf("the client sent no %s", kind)
		}
	}
}
