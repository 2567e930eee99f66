//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/chaos/network"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// patience is how long clients wait for an answer before they think that it will
// not come.
const patience = 2500 * time.Millisecond

// Opening is a cluster with nodes and an empty database. It ends with its test.
type Opening struct {
	*Cluster

	// fixed
	tb       testing.TB
	database string
	node     []*node
	http     *http.Client // of the people
}

// node is one server; its methods but alive belong to the test's goroutine.
type node struct {
	*parts.Process

	// fixed
	name    string
	host    *network.Host
	address string

	// guarded by mu
	mu sync.Mutex
	up bool // it was started and not killed since
}

// Open starts nodes from a binary on a database of their own.
func (c *Cluster) Open(tb testing.TB, binary string, flags ...string) *Opening {
	tb.Helper()
	c.opened++
	o := &Opening{Cluster: c, tb: tb, database: fmt.Sprint("chat", c.opened)}
	o.http = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: c.hosts.people.Dial, DisableKeepAlives: true}}
	c.postgres.Must("postgres", "CREATE DATABASE "+o.database)
	tb.Cleanup(o.repair)
	for i, host := range c.hosts.nodes {
		n := &node{name: fmt.Sprint("node ", i), host: host, address: host.Address + ":8080"}
		argv := append(withoutSettings(), binary, "serve", "--listen", n.address, "--data", filepath.Join(tb.TempDir(), n.name),
			"--store", c.databaseURL(o.database), "--layer", c.layerURL(), "--limits", "off", "--drain", "1s")
		n.Process = parts.NewProcess(tb, append(argv, flags...), nil)
		o.node = append(o.node, n)
		c.must(n.begin())
	}
	if err := o.awaitReady(startWithin); err != nil {
		tb.Fatal(err)
	}
	return o
}

// repair leaves the cluster as it was found, also when a schedule has ended early.
func (o *Opening) repair() {
	o.must(o.network.Heal())
	if o.service.Alive() {
		o.service.Signal(syscall.SIGCONT)
	} else {
		o.must(o.hosts.broker.Do(o.service.restart))
	}
	o.postgres.Must("postgres", "DROP DATABASE "+o.database+" WITH (FORCE)")
}

// startWithin bounds the start of all nodes.
const startWithin = 30 * time.Second

// withoutSettings runs a program without the variables that are for tests: the
// server takes them for its settings.
func withoutSettings() []string {
	argv := []string{"env"}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TEAHOUSE_") {
			argv = append(argv, "-u", name)
		}
	}
	return argv
}

// begin starts the process, and does not wait until it is ready.
func (n *node) begin() error {
	var err error
	if doErr := n.host.Do(func() { err = n.Start() }); doErr != nil || err != nil {
		return errors.Join(doErr, err)
	}
	n.mark(true)
	return nil
}

// kill ends the process by SIGKILL.
func (n *node) kill() {
	n.mark(false)
	n.Kill()
}

func (n *node) mark(up bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up = up
}

// running says that the node was started and not ended since.
func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up
}

// awaitReady waits until all nodes say that they are.
func (o *Opening) awaitReady(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for _, n := range o.node {
		for !n.Alive() || !o.ready(ctx, n) {
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is not ready after %v", n.name, within)
			case <-time.After(5 * time.Millisecond):
			}
			if err := o.supervise(); err != nil {
				return err
			}
		}
	}
	return nil
}

// supervise starts nodes again that have ended by themselves, as a supervisor
// does: a server that finds no database when it starts says so and ends.
func (o *Opening) supervise() error {
	for _, n := range o.node {
		if n.running() && !n.Alive() {
			if err := n.begin(); err != nil {
				return fmt.Errorf("start %s again: %w", n.name, err)
			}
		}
	}
	return nil
}

func (o *Opening) ready(ctx context.Context, n *node) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.address+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := o.http.Do(req)
	if err != nil {
		return false
	}
	return errors.Join(res.Body.Close()) == nil && res.StatusCode == http.StatusOK
}
