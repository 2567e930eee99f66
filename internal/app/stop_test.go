package app

import (
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
