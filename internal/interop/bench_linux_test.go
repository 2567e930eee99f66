package interop

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// BenchmarkBesideDjango does the same with both sides, one event at a time: from
// one process, or layer, through Redis to who waits for it. Beside the time it
// reports for each event
//
//	trips/op       times that Redis read from a connection
//	commands/op    that Redis ran, those in scripts too
//	cpu-µs/op      of the process that sends and receives
//	redis-µs/op    of Redis, in steps of 10 ms in all
//
// Python is one process; Go is two layers, since one alone would not need Redis.
func BenchmarkBesideDjango(b *testing.B) {
	for _, kind := range []string{"core", "pubsub"} {
		for _, w := range []work{{"send", 1}, {"group_send", 1}, {"group_send", 1000}} {
			name := fmt.Sprintf("%s/%s to %d", kind, w.what, w.sockets)
			b.Run(name+"/go", func(b *testing.B) { benchGo(b, kind, w) })
			b.Run(name+"/python", func(b *testing.B) { benchPython(b, kind, w) })
		}
	}
}

// work is what is measured.
type work struct {
	what    string // as peer.py's measure has it
	sockets int
}

func benchGo(b *testing.B, kind string, w work) {
	p := at(b, kind, 1, nil)
	from, to := p.layer(channels.LayerOptions{}), p.layer(channels.LayerOptions{})
	ears := make([]*ear, w.sockets)
	for i := range ears {
		if ears[i] = listen(b, to); w.what == "group_send" {
			must(b, to.GroupAdd(b.Context(), "measured", ears[i].name))
		}
	}
	e := channels.Event{Type: "chat.message", Payload: map[string]any{"message": strings.Repeat("x", 64)}}
	turn := func() {
		before := ears[len(ears)-1].count()
		if w.what == "send" {
			must(b, from.Send(b.Context(), ears[0].name, e))
		} else {
			must(b, from.GroupSend(b.Context(), "measured", e))
		}
		for _, ear := range ears {
			ear.reach(before + 1)
		}
	}
	p.connected(b, from, to)
	turn()
	m := p.meter(b)
	before := ownCPU(b)
	b.ResetTimer()
	for range b.N {
		turn()
	}
	b.StopTimer()
	m.report(b, ownCPU(b)-before)
}

// connected waits until a channel of one layer is reached from another.
func (p *place) connected(b *testing.B, from, to *channels.Layer) {
	e := listen(b, to)
	parts.Eventually(b, "the layers reach each other", func() bool {
		must(b, from.Send(b.Context(), e.name, event("warm", 1)))
		time.Sleep(5 * time.Millisecond)
		return e.count() > 0
	})
}

// reach waits for an event that is about to come, without looking again and again.
func (e *ear) reach(n int) {
	for e.count() < n {
		<-e.came
	}
}

func benchPython(b *testing.B, kind string, w work) {
	p := at(b, kind, 1, nil)
	d := p.python()
	args := map[string]any{"what": w.what, "count": 1, "sockets": w.sockets}
	d.do("measure", args, nil) // what is done once: connections, scripts, members
	var used struct{ CPU, Wall float64 }
	args["count"] = b.N
	m := p.meter(b)
	d.do("measure", args, &used)
	m.report(b, time.Duration(used.CPU*float64(time.Second)))
	b.ReportMetric(used.Wall*1e9/float64(b.N), "ns/op")
}

// meter measures Redis.
type meter struct {
	redis           *parts.RedisServer
	trips, commands int
	cpu             time.Duration
}

func (p *place) meter(b *testing.B) meter {
	m := meter{redis: p.servers[0]}
	m.trips, m.commands, m.cpu = m.read(b)
	return m
}

var statistics = regexp.MustCompile(`(?m)^(total_reads_processed|total_commands_processed):(\d+)`)

func (m meter) read(b *testing.B) (trips, commands int, cpu time.Duration) {
	found := statistics.FindAllStringSubmatch(m.redis.Must("INFO", "stats"), -1)
	if len(found) != 2 {
		b.Fatalf("no statistics of Redis: %q", found)
	}
	for _, f := range found {
		n, err := strconv.Atoi(f[2])
		must(b, err)
		if strings.Contains(f[1], "reads") {
			trips = n
		} else {
			commands = n
		}
	}
	return trips, commands, m.redis.CPU()
}

func (m meter) report(b *testing.B, cpu time.Duration) {
	trips, commands, redis := m.read(b)
	n := float64(b.N)
	b.ReportMetric(float64(trips-m.trips)/n, "trips/op")
	b.ReportMetric(float64(commands-m.commands)/n, "commands/op")
	b.ReportMetric(float64(cpu.Microseconds())/n, "cpu-µs/op")
	b.ReportMetric(float64((redis-m.cpu).Microseconds())/n, "redis-µs/op")
}

// ownCPU is what this process has used of processors.
func ownCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
