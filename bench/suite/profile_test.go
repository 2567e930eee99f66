package suite

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
)

func TestASampleBelongsToTheInnermostPartOfTheWork(t *testing.T) {
	const ours = "github.com/teahouse-chat/teahouse/"
	for name, tt := range map[string]struct {
		stack []string // innermost first
		want  string
	}{
		"a write":         {[]string{"syscall.write", ours + "internal/websocket.trySend", ours + "channels.(*part).round"}, "writing to sockets: the system calls"},
		"many writes":     {[]string{"internal/runtime/syscall/linux.Syscall6", "syscall.Syscall6", ours + "internal/websocket.(*ring).submit", ours + "internal/websocket.(*Sender).Write"}, "writing to sockets: the system calls"},
		"a sync":          {[]string{"syscall.Fsync", "modernc.org/sqlite/lib._sqlite3OsSync", ours + "internal/sqlstore.(*Store).Append"}, "storing: writes and syncs of the log's file"},
		"SQLite":          {[]string{"modernc.org/sqlite/lib._sqlite3VdbeExec", ours + "internal/sqlstore.(*Store).Append", ours + "internal/chat.(*Service).commit"}, "storing: SQLite without these"},
		"memory for wire": {[]string{"runtime.mallocgcTiny", "runtime.mallocgc", ours + "wire.Decode"}, "memory: allocating and collecting"},
		"a collection":    {[]string{"runtime.scanobject", "runtime.gcDrain"}, "memory: allocating and collecting"},
		"the chat":        {[]string{"time.Now", ours + "internal/live.(*rich).Receive", ours + "channels.(*Conn).receive"}, "the chat: rules, queue, answers"},
		"the layer":       {[]string{"sync.(*Mutex).Lock", ours + "channels.(*group).send", ours + "internal/chat.(*Service).commit"}, "fan-out: groups, rounds, runs"},
		"the scheduler":   {[]string{"runtime.netpoll", "runtime.findRunnable", "runtime.schedule"}, "waking and parking goroutines"},
		"anything":        {[]string{"main.main"}, elsewhere},
		"nothing":         {nil, elsewhere},
	} {
		t.Run(name, func(t *testing.T) {
			if got := partOf(tt.stack); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSharesAreOfTheWholeProfileLargestFirst(t *testing.T) {
	sample := func(function string, nanoseconds int64) *profile.Sample {
		return &profile.Sample{
			Value:    []int64{1, nanoseconds},
			Location: []*profile.Location{{Line: []profile.Line{{Function: &profile.Function{Name: function}}}}},
		}
	}
	got := shares(&profile.Profile{Sample: []*profile.Sample{
		sample("runtime.mallocgc", 10), sample("main.main", 30), sample("runtime.gcDrain", 10), sample("main.x", 50),
	}})
	want := []Part{{elsewhere, 0.8}, {"memory: allocating and collecting", 0.2}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var b strings.Builder
	where(&b, got, 2)
	if !strings.Contains(b.String(), "| memory: allocating and collecting | 20 % | 0.400 |\n") {
		t.Error(b.String())
	}
}
