package client

import (
	"errors"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/wire"
)

func TestTheWaitBetweenTriesGrowsAndHeedsTheServer(t *testing.T) {
	c := &Client{jitter: func(most time.Duration) time.Duration { return most }}
	lost := errors.New("the network is gone")
	soon := websocket.CloseError{Code: wire.CloseRestart, Reason: "restart retry_ms=200"}
	later := websocket.CloseError{Code: wire.CloseRestart, Reason: "restart retry_ms=4700"}
	busy := websocket.CloseError{Code: wire.CloseOverloaded, Reason: "busy retry_ms=1500"}
	for _, test := range []struct {
		name  string
		end   error
		hasty bool
		again error // of each try
		want  []time.Duration
	}{
		{"a lost connection", lost, false, lost, []time.Duration{1000, 2000, 4000, 8000, 16000, 30000, 30000}},
		{"lost soon after it began", lost, true, lost, []time.Duration{2000, 4000, 8000}},
		{"a server that has too much to do", busy, false, busy, []time.Duration{2500, 3500, 5500}},
		{"a restart beside other servers", soon, false, lost, []time.Duration{200, 200, 400, 800, 1600}},
		{"two of them in a row", soon, true, lost, []time.Duration{200, 200, 400}},
		{"a restart of a server that is alone", later, false, lost, []time.Duration{4700, 1000, 2000}},
		{"a restart that a proxy answers for", soon, false, &HandshakeError{Status: 503, Retry: time.Second}, []time.Duration{200, 1200, 1400}},
		{"a restart without a time", websocket.CloseError{Code: wire.CloseRestart}, false, lost, []time.Duration{1000, 2000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := c.after(test.end, test.hasty), test.end
			for i, want := range test.want {
				if got := p.next(asked(err)); got != want*time.Millisecond {
					t.Errorf("wait %d is %v, want %v", i+1, got, want*time.Millisecond)
				}
				err = test.again
			}
		})
	}
	for range 1000 {
		if d := fullJitter(time.Second); d < 0 || d >= time.Second {
			t.Fatalf("jitter %v", d)
		}
	}
}
