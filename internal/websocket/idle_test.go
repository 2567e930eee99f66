package websocket

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// crowdVariable tells a copy of the test program where to hold connections.
const crowdVariable = "WEBSOCKET_TEST_CROWD"

const crowdSize = 2000

// BenchmarkIdle reports what a connection at rest costs behind net/http, that
// has said something once. The clients are another process.
func BenchmarkIdle(b *testing.B) {
	for _, way := range []string{"http", "https"} {
		b.Run(way, func(b *testing.B) {
			for b.Loop() {
				idle(b, way)
			}
		})
	}
}

func idle(b *testing.B, way string) {
	peers := make(chan *peer, crowdSize)
	o := &Options{PingEvery: time.Hour}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Begin(w, r, o)
		if err != nil {
			return
		}
		p := &peer{Conn: c, closed: make(chan ending, 2)}
		if err := c.Open("", nil); err != nil {
			b.Error(err)
			return
		}
		c.Start(p)
		peers <- p
	}))
	if way == "https" {
		s.StartTLS()
	} else {
		s.Start()
	}
	defer s.Close()
	before := measure(b)
	crowd := exec.Command(os.Args[0], "-test.run=^TestCrowd$", "-test.v")
	crowd.Env = append(os.Environ(), crowdVariable+"="+way+"://"+s.Listener.Addr().String())
	stdin, err := crowd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	crowd.Stdout = &out
	if err := crowd.Start(); err != nil {
		b.Fatal(err)
	}
	all := make([]*peer, crowdSize)
	for i := range all {
		select {
		case all[i] = <-peers:
		case <-time.After(patience):
			b.Fatalf("%d of %d came:\n%s", i, crowdSize, &out)
		}
	}
	time.Sleep(4 * quiet) // until stacks are given back
	after := measure(b)
	for i, unit := range []string{"RSS-B/conn", "heap-B/conn", "stack-B/conn"} {
		b.ReportMetric(float64(after[i]-before[i])/crowdSize, unit)
	}
	err = errors.Join(stdin.Close(), crowd.Wait())
	if err != nil {
		b.Fatalf("%v\n%s", err, &out)
	}
	for _, p := range all {
		p.ended(b)
	}
}

// measure returns resident memory, live heap and stacks, in bytes.
func measure(b *testing.B) [3]int64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("resident memory cannot be read: ", err)
	}
	_, line, _ := strings.Cut(string(status), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(line, &kib); err != nil {
		b.Fatal(err)
	}
	return [3]int64{kib << 10, int64(m.HeapAlloc), int64(m.StackInuse)}
}

// TestCrowd is the clients of BenchmarkIdle: they say something, hear it, and
// stay until standard input ends.
func TestCrowd(t *testing.T) {
	way, addr, found := strings.Cut(os.Getenv(crowdVariable), "://")
	if !found {
		t.Skip("a part of BenchmarkIdle")
	}
	for range crowdSize {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if way == "https" {
			nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		}
		c := upgrade(t, nc, "")
		c.send(OpText, "something")
		c.expect(OpText, "something")
	}
	_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
}
