package redis

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	redigo "github.com/gomodule/redigo/redis"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestSentinelsLeadToTheServerAndToTheNextOne(t *testing.T) {
	master, replica := replicated(t)
	address := sentinel(t, master, true)
	p, _ := pubsubProcess(t, layerOf(t, "redis+pubsub+sentinel://"+address+"/main"))
	q, _ := pubsubProcess(t, layerOf(t, "redis+pubsub+sentinel://127.0.0.1:1,"+address+"/main"))
	p.follow("g")
	if err := q.send("g", "before"); err != nil {
		t.Fatal(err)
	}
	p.awaits(said("g", "before"))

	master.Kill()
	p.awaitsGap("g")
	parts.Eventually(t, "events are sent again", func() bool { return q.send("g", "after") == nil })
	parts.Eventually(t, "events arrive again", func() bool { return len(p.deliveries()) > 1 })
	if role := replica.Must("ROLE"); !strings.HasPrefix(role, "master") {
		t.Errorf("the replica is %s", role)
	}
}

// replicated are a server and one that follows it.
func replicated(t *testing.T) (master, replica *parts.RedisServer) {
	t.Helper()
	master, replica = parts.Redis(t, parts.RedisOptions{}), parts.Redis(t, parts.RedisOptions{})
	host, port, _ := net.SplitHostPort(master.Address)
	replica.Must("REPLICAOF", host, port)
	parts.Eventually(t, "the replica follows", func() bool {
		return strings.Contains(replica.Must("INFO", "replication"), "master_link_status:up") &&
			strings.Contains(master.Must("INFO", "replication"), "state=online")
	})
	return master, replica
}

// A server that was cut off from the others goes on answering those who can
// still reach it: only the Sentinels know.
func TestAServerThatIsNotTheMasterAnyMoreIsLeft(t *testing.T) {
	before, after := parts.Redis(t, parts.RedisOptions{}), parts.Redis(t, parts.RedisOptions{})
	address := sentinel(t, before, false)
	a, _ := coreProcess(t, []string{"redis+sentinel://" + address + "/main"}, nil)
	b, c := coreProcess(t, []string{"redis+sentinel://" + address + "/main"}, nil)
	b.follow("g")
	arrives(t, a, b, "g", "before")
	s, err := redigo.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	host, port, _ := net.SplitHostPort(after.Address)
	for _, args := range [][]any{{"REMOVE", "main"}, {"MONITOR", "main", host, port, 1}} {
		if _, err := s.Do("SENTINEL", args...); err != nil {
			t.Fatal(err)
		}
	}
	b.awaitsGap("all")
	arrives(t, a, b, "g", "after")
	if left := c.servers[0].elsewhere(after.Address); len(left) > 0 {
		t.Errorf("%d connections to the old master are open", len(left))
	}
	if before.Must("PING") != "PONG" {
		t.Error("the old master does not answer")
	}
}

func TestSentinelsAndServersMayHavePasswordsAndTLS(t *testing.T) {
	dir := t.TempDir()
	makeCertificate(t, dir)
	secured := []string{"tls-cert-file " + dir + "/cert.pem", "tls-key-file " + dir + "/key.pem",
		"tls-ca-cert-file " + dir + "/cert.pem", "tls-auth-clients no", "tls-replication yes"}
	args := []string{"--tls-port", freePort(t)}
	for _, line := range secured {
		name, value, _ := strings.Cut(line, " ")
		args = append(args, "--"+name, value)
	}
	server := parts.Redis(t, parts.RedisOptions{Args: args})
	server.Must("ACL", "SETUSER", "tea", "on", ">s3cret", "~*", "&*", "+@all")
	overTLS := *server
	overTLS.Address = "localhost:" + args[1]
	own := freePort(t)
	_ = sentinel(t, &overTLS, false, append(secured, "tls-port "+own,
		"sentinel resolve-hostnames yes", "sentinel announce-hostnames yes", "requirepass s3ntinel")...)
	ca := "&ssl_ca_certs=" + dir + "/cert.pem"
	hear(t, layerOf(t, "rediss+pubsub+sentinel://tea:s3cret@localhost:"+own+"/main?sentinel_password=s3ntinel"+ca))

	for name, url := range map[string]string{
		"a wrong password of the server":    "rediss+pubsub+sentinel://tea:wr0ng@localhost:" + own + "/main?sentinel_password=s3ntinel" + ca,
		"a wrong password of the Sentinels": "rediss+pubsub+sentinel://tea:s3cret@localhost:" + own + "/main?sentinel_password=wr0ng" + ca,
		"another master":                    "rediss+pubsub+sentinel://tea:s3cret@localhost:" + own + "/other?sentinel_password=s3ntinel" + ca,
		"Sentinels without TLS":             "redis+pubsub+sentinel://tea:s3cret@localhost:" + own + "/main?sentinel_password=s3ntinel",
	} {
		t.Run(name, func(t *testing.T) {
			p, b := pubsubProcess(t, layerOf(t, url))
			p.follow("g")
			parts.Eventually(t, "the state says so", func() bool { return b.States()[0].Err != nil })
			said := p.logged() + b.States()[0].Err.Error()
			for _, secret := range []string{"s3cret", "s3ntinel", "wr0ng"} {
				if strings.Contains(said, secret) {
					t.Errorf("a password is told: %s", said)
				}
			}
		})
	}
}

// sentinel starts one that watches a server under the name main, and knows its
// replica if it has one. More lines of its configuration may be given.
func sentinel(t *testing.T, master *parts.RedisServer, replica bool, lines ...string) (address string) {
	t.Helper()
	host, masterPort, _ := net.SplitHostPort(master.Address)
	port := freePort(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	config := append([]string{
		"port " + port, "bind 127.0.0.1", "dir " + dir,
		"sentinel monitor main " + host + " " + masterPort + " 1",
		"sentinel down-after-milliseconds main 300", "sentinel failover-timeout main 2000",
	}, lines...)
	if err := os.WriteFile(file, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := parts.NewProcess(t, []string{parts.Program(t, "redis-server"), file, "--sentinel"}, nil)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	knows := "+monitor master "
	if replica {
		knows = "+slave slave "
	}
	parts.Eventually(t, "the sentinel knows the servers", func() bool { return strings.Contains(s.Log(), knows) })
	return "127.0.0.1:" + port
}
