//go:build linux

package network_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/chaos/network"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a host that sends back what it gets, and one that is connected to it.
type echo struct {
	network     *network.Network
	here, there *network.Host
	address     string
}

func newEcho(t *testing.T) *echo {
	n := network.New(t)
	e := &echo{network: n, here: n.Host("here"), there: n.Host("there")}
	var l net.Listener
	var err error
	if doErr := e.there.Do(func() { l, err = net.Listen("tcp", e.there.Address+":0") }); doErr != nil || err != nil {
		t.Fatal(doErr, err)
	}
	e.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				_, _ = io.Copy(c, c) // until either side ends it
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		served.Wait()
	})
	return e
}

// say sends a byte and waits for it to come back.
func say(c net.Conn, within time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func TestHostsReachEachOtherUnlessARuleForbidsIt(t *testing.T) {
	e := newEcho(t)
	for _, tt := range []struct {
		name string
		rule network.Rule
		want error
	}{
		{"nothing arrives", network.Rule{From: e.here, To: e.there, Verdict: network.Drop}, os.ErrDeadlineExceeded},
		{"nothing comes back", network.Rule{From: e.there, To: e.here, Verdict: network.Drop}, os.ErrDeadlineExceeded},
		{"reset", network.Rule{From: e.here, To: e.there, Verdict: network.Reset, Mutual: true}, syscall.ECONNRESET},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := e.here.Dial(t.Context(), "tcp", e.address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := say(c, 20*time.Second); err != nil {
				t.Fatalf("before: %v", err)
			}
			lift, err := e.network.Break(tt.rule)
			if err != nil {
				t.Fatal(err)
			}
			if err := say(c, 200*time.Millisecond); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			for _, end := range []func() error{lift, lift, e.network.Heal} {
				if err := end(); err != nil {
					t.Fatal(err)
				}
			}
			_ = c.Close()
			again, err := e.here.Dial(t.Context(), "tcp", e.address)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if err := say(again, 20*time.Second); err != nil {
				t.Errorf("after: %v", err)
			}
		})
	}
}

func TestHealingEndsAllRules(t *testing.T) {
	e := newEcho(t)
	for range 2 {
		if _, err := e.network.Break(network.Rule{From: e.here, To: e.there, Verdict: network.Drop}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.network.Heal(); err != nil {
		t.Fatal(err)
	}
	c, err := e.here.Dial(t.Context(), "tcp", e.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := say(c, 20*time.Second); err != nil {
		t.Error(err)
	}
}

func TestANetworkIsNotThisMachines(t *testing.T) {
	e := newEcho(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var d net.Dialer
	if c, err := d.DialContext(ctx, "tcp", e.address); err == nil {
		_ = c.Close()
		t.Error("this machine reaches a host")
	}
}

func TestWhatAKilledTestLeftIsSweptAway(t *testing.T) {
	left := "/run/netns/teahouse-4194305-1-left" // more than the largest process id
	network.New(t)
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	network.New(t)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there: %v", filepath.Base(left), err)
	}
}
