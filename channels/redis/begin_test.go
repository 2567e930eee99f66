package redis

import (
	"fmt"
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
