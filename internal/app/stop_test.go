package app

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/live"
)

func TestAStopDividesItsTime(t *testing.T) {
	const shared = "postgres://host/name"
	for _, c := range []struct {
		name  string
		store string
		whole time.Duration
		want  drain
		end   time.Duration // of everything, when nobody does as told
	}{
		{"alone", "", 0, drain{}, 9 * time.Second},
		{"alone, and asked to go on", "", 3 * time.Second, drain{notice: 3 * time.Second}, 9 * time.Second},
		{"alone, and asked to go on for long", "", time.Minute, drain{notice: time.Minute}, 65 * time.Second},
		{"beside others", shared, 4 * time.Second,
			drain{4 * time.Second / 3, live.Farewell{Over: 4*time.Second - 4*time.Second/3, Others: true}}, 9 * time.Second},
		{"beside others, at once", shared, 0, drain{farewell: live.Farewell{Others: true}}, 9 * time.Second},
		{"beside others, for long", shared, 3 * time.Minute,
			drain{time.Minute, live.Farewell{Over: 2 * time.Minute, Others: true}}, 3*time.Minute + 5*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &app{config: config.Config{Store: c.store}}
			got := a.drainFor(c.whole)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if end := got.notice + got.patience() + logWithin; end != c.end {
				t.Errorf("it ends within %v, want %v", end, c.end)
			}
		})
	}
}

func TestAStopWhileStartingIsOrderly(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log written
	ended := make(chan error, 1)
	c := config.Config{Listen: "127.0.0.1:0", Layer: config.Memory, Store: "postgres://tea@" + silent.Addr().String() + "/tea?sslmode=disable"}
	go func() { ended <- Run(ctx, c, io.Discard, &log) }()
	asked, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "ERROR") || !strings.Contains(log.String(), "stopped while starting") {
		t.Errorf("the log says: %s", log.String())
	}
}
