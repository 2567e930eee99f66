//go:build linux

package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/teahouse-chat/teahouse/e2e/server"
)

const (
	folder = "/run/netns" // where ip keeps the names of namespaces
	prefix = "teahouse"   // of our names: teahouse-PROCESS-NUMBER-HOST
)

// count numbers the networks of this process.
var count atomic.Int64

// Network is a bridge and the hosts on it.
type Network struct {
	// fixed
	tb     testing.TB
	name   string
	bridge string // namespace

	hosts []*Host // owned by the test's goroutine

	// guarded by mu, which is held while rules change
	mu    sync.Mutex
	rules []*active
}

// Host is a machine in a network.
type Host struct {
	// fixed
	Address string // of IPv4, without a port
	network *Network
	space   string // its namespace
}

// New makes a network without hosts. It skips the test where namespaces cannot
// be made, or fails it when TEAHOUSE_REQUIRE=1.
func New(tb testing.TB) *Network {
	tb.Helper()
	server.Need(tb, "ip")
	server.Need(tb, "nft")
	if os.Getuid() != 0 {
		server.Lacking(tb, "networks of their own can only be made by root")
	}
	sweep()
	n := &Network{tb: tb, name: fmt.Sprintf("%s-%d-%d", prefix, os.Getpid(), count.Add(1))}
	n.bridge = n.name + "-bridge"
	if err := run("", "ip", "netns", "add", n.bridge); err != nil {
		server.Lacking(tb, "network namespaces cannot be made: "+err.Error())
	}
	tb.Cleanup(func() { n.remove(n.bridge) })
	if err := run("link add bridge type bridge\nlink set bridge up\n", "ip", "-n", n.bridge, "-batch", "-"); err != nil {
		server.Lacking(tb, "bridges cannot be made: "+err.Error())
	}
	return n
}

// Host adds a machine; its name is a few letters.
func (n *Network) Host(name string) *Host {
	n.tb.Helper()
	h := &Host{Address: fmt.Sprintf("10.99.0.%d", len(n.hosts)+1), network: n, space: n.name + "-" + name}
	if err := run("", "ip", "netns", "add", h.space); err != nil {
		n.tb.Fatal(err)
	}
	n.tb.Cleanup(func() { n.remove(h.space) })
	inside := "link set lo up\nlink add eth type veth peer name " + name + " netns " + n.bridge +
		"\naddr add " + h.Address + "/24 dev eth\nlink set eth up\n"
	if err := run(inside, "ip", "-n", h.space, "-batch", "-"); err != nil {
		n.tb.Fatal(err)
	}
	if err := run("", "ip", "-n", n.bridge, "link", "set", name, "master", "bridge", "up"); err != nil {
		n.tb.Fatal(err)
	}
	n.hosts = append(n.hosts, h)
	return h
}

func (n *Network) remove(space string) {
	if err := run("", "ip", "netns", "delete", space); err != nil {
		n.tb.Error(err)
	}
}

// Do runs f as if on the host: programs it starts and sockets it opens are
// there. It belongs to the calling goroutine and does not wait for others.
func (h *Host) Do(f func()) error {
	there, err := os.Open(filepath.Join(folder, h.space))
	if err != nil {
		return fmt.Errorf("find a host: %w", err)
	}
	defer there.Close()
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("find the way back from a host: %w", err)
	}
	defer here.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter a host: %w", err)
	}
	defer func() {
		if err := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(fmt.Sprintf("a thread cannot leave a host: %v", err)) // others would run there
		}
		runtime.UnlockOSThread()
	}()
	f()
	return nil
}

// Dial connects from the host. The address must be numbers.
func (h *Host) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	var d net.Dialer
	if doErr := h.Do(func() { c, err = d.DialContext(ctx, network, address) }); doErr != nil {
		return nil, doErr
	}
	return c, err
}

// sweep removes what processes that are no more have left behind.
func sweep() {
	names, _ := filepath.Glob(filepath.Join(folder, prefix+"-*")) // only a bad pattern fails
	for _, path := range names {
		name := filepath.Base(path)
		owner := strings.Split(name, "-")[1]
		if _, err := os.Stat("/proc/" + owner); err == nil || !errors.Is(err, os.ErrNotExist) {
			continue
		}
		out, _ := exec.Command("ip", "netns", "pids", name).Output() // what is gone has none
		for _, pid := range strings.Fields(string(out)) {
			if n, err := strconv.Atoi(pid); err == nil {
				_ = unix.Kill(n, unix.SIGKILL) // it may end by itself
			}
		}
		_ = run("", "ip", "netns", "delete", name) // another test may do the same
	}
}

// runWithin bounds the programs that change a network.
const runWithin = 20 * time.Second

// run runs a program that says nothing unless it fails.
func run(input string, argv ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), runWithin)
	defer cancel()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdin = strings.NewReader(input)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
