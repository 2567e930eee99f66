package promises_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

// footprint is what a server holds while nobody is there.
type footprint struct {
	goroutines, files int
	memory            int64 // resident, in bytes
}

// TestNothingIsLeftAfterManyVisits lets TEAHOUSE_CONNECTS people (5,000) come,
// join a room and go, one after the other on each of a few lines, in all the
// ways there are to leave. The first fifth only warms the server up.
func TestNothingIsLeftAfterManyVisits(t *testing.T) {
	const (
		most = 4 << 20 // bytes: 800 of each of 5,000, 40 of each of 100,000
		few  = 5       // the store may open another file, a pool another worker
	)
	visits, err := strconv.Atoi(cmp.Or(os.Getenv("TEAHOUSE_CONNECTS"), "5000"))
	if err != nil {
		t.Fatal("TEAHOUSE_CONNECTS: ", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := l.Addr().String()
	_ = l.Close()
	s := server.Start(t, "--limits", "off", "--admin", admin)
	visit(t, s, visits/5)
	before := quietly(t, s, admin, 12*time.Second, func(footprint) bool { return false })
	start := time.Now()
	visit(t, s, visits)
	took := time.Since(start)
	after := quietly(t, s, admin, time.Minute, func(f footprint) bool {
		return f.goroutines <= before.goroutines+few && f.files <= before.files+few && f.memory <= before.memory+most/2
	})
	t.Logf("%d visits in %v: before %+v, after %+v, %d bytes for each", visits, took.Round(time.Second), before, after,
		(after.memory-before.memory)/int64(visits))
	if after.goroutines > before.goroutines+few || after.files > before.files+few || after.memory > before.memory+most {
		t.Error("something is left")
	}
}

// quietly looks at a server that has nothing to do until what it sees is
// enough, or for as long as given: within seconds the server gives back memory.
// What it returns is the least of each that was seen.
func quietly(t *testing.T, s *server.Server, admin string, within time.Duration, enough func(footprint) bool) (least footprint) {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(time.Second) {
		f := footprint{goroutines: goroutines(t, admin), files: s.Files(t), memory: s.RSS(t)}
		if least.files == 0 {
			least = f
		}
		least = footprint{min(least.goroutines, f.goroutines), min(least.files, f.files), min(least.memory, f.memory)}
		if enough(least) {
			break
		}
	}
	return least
}

func goroutines(t *testing.T, admin string) int { return metric(t, admin, "go_goroutines") }

// metric reads one of the server's metrics, a whole number without labels.
func metric(t *testing.T, admin, name string) int {
	t.Helper()
	client := http.Client{Timeout: server.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if number, found := strings.CutPrefix(line, name+" "); found {
			f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(f)
		}
	}
	t.Fatalf("the metrics do not have %s", name)
	return 0
}

// visit lets n people come and go, on four lines at once.
func visit(t *testing.T, s *server.Server, n int) {
	t.Helper()
	const lines = 4
	var all sync.WaitGroup
	for line := range lines {
		all.Go(func() {
			for i := range n / lines {
				if err := comeAndGo(s.Address, fmt.Sprintf("room%d", i%7), i+line); err != nil {
					t.Errorf("visit %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// comeAndGo is one visit; the kind chooses the protocol and the way to leave.
func comeAndGo(address, room string, kind int) error {
	if kind%4 == 0 {
		c, err := socket.Dial(address, "/ws/chat/"+room+"/")
		if err != nil {
			return err
		}
		return leave(c, kind/4)
	}
	g, err := guest.Enter(address, wire.Hello{})
	if err != nil {
		return err
	}
	if _, _, err := g.Join(wire.Join{Room: room}); err != nil {
		return errors.Join(err, g.Close())
	}
	return leave(g.Conn, kind/4)
}

func leave(c *socket.Conn, way int) error {
	switch way % 3 {
	case 0: // says goodbye
		if _, err := c.Write(socket.Frame(socket.FIN|socket.CloseFrame, []byte{3, 232})); err != nil {
			return errors.Join(err, c.Close())
		}
		_, _ = io.Copy(io.Discard, c.Conn) // up to the end
	case 1: // is reset
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
	}
	return c.Close()
}
