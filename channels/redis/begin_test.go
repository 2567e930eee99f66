package redis

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestWhatIsBegunWaitsForNoAnswerToWhatWasBefore(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	for name, start := range map[string]func() *process{
		"core":    func() *process { p, _ := coreProcess(t, at(server), nil); return p },
		"pub/sub": func() *process { p, _ := pubsubProcess(t, Options{Hosts: at(server), Prefix: "other"}); return p },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := start(), start()
			b.follow("g")
			if err := a.send("g", "first"); err != nil { // connects
				t.Fatal(err)
			}
			want := []string{said("g", "first")}
			server.Signal(syscall.SIGSTOP)
			var ends []func() error
			for i := range 50 {
				d := channels.Delivery{Group: "g", Event: say(fmt.Sprint(i))}
				ends = append(ends, a.broker.(channels.Pipeliner).Begin(t.Context(), d))
				want = append(want, said("g", fmt.Sprint(i)))
			}
			server.Signal(syscall.SIGCONT)
			for _, end := range ends {
				if err := end(); err != nil {
					t.Error(err)
				}
			}
			b.awaits(want...)
		})
	}
}

func TestABurstIsWrittenInParts(t *testing.T) {
	many := func(n, capacity, size int, keys ...string) (batch []*write) {
		for i := range n {
			batch = append(batch, &write{key: keys[i%len(keys)], capacity: capacity, blob: strings.Repeat("x", size)})
		}
		return batch
	}
	for name, tt := range map[string]struct {
		batch []*write
		want  int
	}{
		"one":                        {many(1, 100, 1, "a"), 1},
		"of one set":                 {many(200, 100, 1, "a"), 25},
		"of two sets":                {many(200, 100, 1, "a", "b"), 50},
		"of a set with room for one": {many(2, 1, 1, "a"), 1},
		"in number":                  {many(1000, 1<<20, 1, "a"), writeBatch},
		"in bytes":                   {many(100, 1<<20, 1<<20, "a"), writeBytes >> 20},
		"larger than all":            {many(2, 100, writeBytes+1, "a"), 1},
	} {
		if got := together(tt.batch); got != tt.want {
			t.Errorf("%s: %d together, want %d", name, got, tt.want)
		}
	}
}
