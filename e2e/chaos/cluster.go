//go:build linux

package chaos

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/chaos/network"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// Layer is a kind of broker, as the scheme of --layer.
type Layer string

// Layers are all kinds, in the order in which seeds take turns.
var Layers = []Layer{"redis", "redis+pubsub", "nats"}

// Cluster is PostgreSQL, a broker and the hosts of nodes. It belongs to a test
// and its goroutine.
type Cluster struct {
	// fixed
	tb      testing.TB
	layer   Layer
	network *network.Network
	hosts   hosts

	postgres *parts.PostgresServer
	service  service // the broker

	opened int // databases so far
}

// hosts are those of a cluster; people is where clients are.
type hosts struct {
	people, database, broker *network.Host
	nodes                    []*network.Host
}

// service is a broker as a program.
type service struct {
	*parts.Process
	port    string
	restart func()
	flush   func() error // nil: it keeps nothing that could be wiped
}

// nodes of a cluster.
const nodes = 3

// NewCluster starts the services. It skips the test where networks cannot be made.
func NewCluster(tb testing.TB, layer Layer) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb, layer: layer, network: network.New(tb)}
	c.hosts = hosts{people: c.network.Host("people"), database: c.network.Host("database"), broker: c.network.Host("broker")}
	for i := range nodes {
		c.hosts.nodes = append(c.hosts.nodes, c.network.Host(fmt.Sprint("node", i)))
	}
	c.must(c.hosts.database.Do(c.startPostgres))
	c.must(c.hosts.broker.Do(c.startBroker))
	return c
}

func (c *Cluster) must(err error) {
	c.tb.Helper()
	if err != nil {
		c.tb.Fatal(err)
	}
}

func (c *Cluster) startPostgres() {
	c.postgres = parts.Postgres(c.tb, "listen_addresses=*", "max_connections=200", "shared_buffers=32MB")
	rules := filepath.Join(c.postgres.Folder, "cluster", "pg_hba.conf")
	f, err := os.OpenFile(rules, os.O_APPEND|os.O_WRONLY, 0)
	c.must(err)
	_, err = f.WriteString("host all all 10.99.0.0/24 trust\n")
	c.must(err)
	c.must(f.Close())
	c.postgres.Must("postgres", "SELECT pg_reload_conf()")
}

func (c *Cluster) startBroker() {
	if c.layer == "nats" {
		s := parts.NATS(c.tb, parts.NATSOptions{Args: []string{"--addr", "0.0.0.0"}})
		c.service = service{Process: s.Process, port: port(s.Address), restart: s.Restart}
		return
	}
	s := parts.Redis(c.tb, parts.RedisOptions{Args: []string{"--bind", "0.0.0.0", "--protected-mode", "no"}})
	c.service = service{Process: s.Process, port: port(s.Address), restart: s.Restart, flush: func() error {
		_, err := s.Do("FLUSHALL")
		return err
	}}
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address) // what listens has one
	return port
}

// databaseURL is for --store.
func (c *Cluster) databaseURL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(parts.PostgresUser), Host: c.hosts.database.Address + ":5432", Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// layerURL is for --layer.
func (c *Cluster) layerURL() string {
	return string(c.layer) + "://" + c.hosts.broker.Address + ":" + c.service.port
}
