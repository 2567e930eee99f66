package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// senders is the number of people posting at once in the benchmarks.
const senders = 64

// Bench runs the benchmarks: posts through chat.Service by 64 concurrent
// senders, each waiting for the acknowledgement before the next, into one hot
// room and into 1,000 rooms. Afterwards the stored rows are compared with what
// was acknowledged, one by one; a difference fails the benchmark.
func Bench(b *testing.B, f Factory) {
	b.Run("hot room", func(b *testing.B) { posts(b, f, 1) })
	b.Run("1000 rooms", func(b *testing.B) { posts(b, f, 1000) })
	b.Run("newest page of 50", func(b *testing.B) { newestPage(b, f) })
}

// acked is what one sender was told.
type acked struct {
	room string
	chat.Message
}

func posts(b *testing.B, f Factory, rooms int) {
	store := open(b, f)
	service, err := chat.New(b.Context(), chat.Options{Store: store})
	if err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	told := make([][]acked, senders)
	var wg sync.WaitGroup
	b.ResetTimer()
	for n := range senders {
		wg.Go(func() {
			author := chat.User{ID: chat.UserID(n + 1), Name: fmt.Sprint("Sender ", n)}
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				room := fmt.Sprint("room ", i%int64(rooms))
				m, dup, err := service.Post(b.Context(), chat.Post{
					Room: room, Author: author,
					Nonce: fmt.Sprintf("%022x", i), Text: "A heron stands in the shallow water and waits.",
				})
				if err != nil || dup {
					b.Errorf("post %d: duplicate %v, %v", i, dup, err)
					return
				}
				told[n] = append(told[n], acked{room, m})
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
	stats := service.Stats()
	b.ReportMetric(float64(stats.Posts)/float64(max(stats.Commits, 1)), "posts/commit")
	if err := service.Shutdown(context.Background()); err != nil {
		b.Fatal(err)
	}
	audit(b, store, told)
}

// audit compares each acknowledged message with the row stored, and counts that
// nothing else was.
func audit(b *testing.B, store chat.Store, told [][]acked) {
	byRoom := make(map[string]map[int64]chat.Message)
	total := 0
	for _, list := range told {
		for _, a := range list {
			if byRoom[a.room] == nil {
				byRoom[a.room] = make(map[int64]chat.Message)
			}
			if other, twice := byRoom[a.room][a.Seq]; twice {
				b.Fatalf("%s: seq %d was given to nonces %s and %s", a.room, a.Seq, other.Nonce, a.Nonce)
			}
			byRoom[a.room][a.Seq] = a.Message
			total++
		}
	}
	if total != b.N {
		b.Fatalf("%d posts were acknowledged of %d", total, b.N)
	}
	for room, want := range byRoom {
		log := whole(b, store, room)
		wantDense(b, log)
		if len(log) != len(want) {
			b.Fatalf("%s: %d rows for %d acknowledged posts", room, len(log), len(want))
		}
		for _, m := range log {
			if m != want[m.Seq] {
				b.Fatalf("%s: row %+v, acknowledged %+v", room, m, want[m.Seq])
			}
		}
	}
}

func newestPage(b *testing.B, f Factory) {
	store := open(b, f)
	for i := range 20 { // rooms whose messages lie between each other's
		for room := range 10 {
			var batch []chat.Draft
			for k := range 50 {
				batch = append(batch, draft(fmt.Sprint("room ", room), ann, fmt.Sprint(i, " ", k), "A heron waits."))
			}
			mustAppend(b, store, batch...)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		p, err := store.Messages(b.Context(), "room 3", chat.Newest(50))
		if err != nil || len(p.Messages) != 50 {
			b.Fatalf("%d messages, %v", len(p.Messages), err)
		}
	}
}
