package doctor

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// hang stops a program until the end of the test.
func hang(t *testing.T, p *parts.Process) {
	t.Helper()
	p.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { p.Signal(syscall.SIGCONT) })
}

// layer is what is found about one.
func layer(t *testing.T, url string) []Finding {
	t.Helper()
	return lookAtLayer(t.Context(), config.Config{Layer: url})
}

func TestMemoryIsForOneServer(t *testing.T) {
	expect(t, named(t, layer(t, config.Memory), "layer"), OK, "alone")
	c := config.Config{Layer: config.Memory, Store: "postgres://db/tea"}
	expect(t, named(t, lookAtLayer(t.Context(), c), "layer"), Warn, "--layer nats://HOST")
}

func TestALayerOfRedisIsLookedAt(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	server.Must("ACL", "SETUSER", "tea", "on", ">s3cret", "~*", "&*", "+@all")
	at := "tea:s3cret@" + server.Address
	for _, scheme := range []string{"redis://", "redis+pubsub://"} {
		findings := layer(t, scheme+at)
		expect(t, named(t, findings, "layer"), OK, "Redis ", server.Address)
		expect(t, named(t, findings, "layer events"), OK, "from one server to another")
		for _, f := range findings {
			if strings.Contains(f.Found+f.Do, "s3cret") {
				t.Errorf("the password is shown: %+v", f)
			}
		}
	}
	f := named(t, layer(t, "redis://tea:wr0ng@"+server.Address), "layer")
	expect(t, f, Fail, "WRONGPASS")
	if strings.Contains(f.Found+f.Do, "wr0ng") {
		t.Errorf("the password is shown: %+v", f)
	}
	expect(t, named(t, layer(t, "redis://127.0.0.1:1"), "layer"), Fail, "refused", "--layer")
	hang(t, server.Process)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	expect(t, named(t, lookAtLayer(ctx, config.Config{Layer: "redis://" + at}), "layer"), Fail, server.Address)
}

func TestARedisIsJudged(t *testing.T) {
	good := redis.Server{Host: "redis://h:6379", Version: "7.0.15", Mode: "standalone", Role: "master", Eviction: "allkeys-lru", RoundTrip: time.Millisecond}
	for name, c := range map[string]struct {
		change func(*redis.Server)
		pubsub bool
		level  Level
		says   string
	}{
		"all is well":      {func(*redis.Server) {}, false, OK, "Redis 7.0.15"},
		"it tells nothing": {func(s *redis.Server) { *s = redis.Server{Host: s.Host} }, false, OK, "may not know"},
		"a replica":        {func(s *redis.Server) { s.Role = "slave" }, false, Fail, "Sentinels"},
		"a cluster":        {func(s *redis.Server) { s.Mode = "cluster" }, false, Fail, "Cluster"},
		"a Sentinel":       {func(s *redis.Server) { s.Mode = "sentinel" }, false, Fail, "redis+sentinel://"},
		"it forgets":       {func(s *redis.Server) { s.MaxMemory = 1 << 20 }, false, Warn, "noeviction"},
		"it keeps nothing": {func(s *redis.Server) { s.MaxMemory = 1 << 20 }, true, OK, "1 MiB"},
		"it is bounded":    {func(s *redis.Server) { s.MaxMemory, s.Eviction = 1<<20, "noeviction" }, false, OK, "noeviction"},
		"it is far away":   {func(s *redis.Server) { s.RoundTrip = time.Second }, false, Warn, "nearer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			c.change(&s)
			expect(t, judgeRedis(s, c.pubsub), c.level, c.says)
		})
	}
}

func TestALayerOfNATSIsLookedAt(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{Config: `max_payload: 65536
		authorization { users: [
			{ user: tea, password: s3cret },
			{ user: mute, password: s3cret, permissions: { publish: "other.>" } },
		] }`})
	findings := layer(t, "nats://tea:s3cret@"+server.Address)
	expect(t, named(t, findings, "layer"), Warn, "NATS 2", "64 KiB", "max_payload")
	expect(t, named(t, findings, "layer events"), OK)
	expect(t, named(t, layer(t, "nats://tea:wr0ng@"+server.Address), "layer"), Fail, "Authorization")
	expect(t, named(t, layer(t, "nats://tea@"+server.Address+"?creds=/no/such/file"), "layer"), Fail, "several ways")
	expect(t, named(t, layer(t, "nats://"+server.Address+"?creds=/no/such/file"), "layer"), Fail, "read the creds", "/no/such/file")

	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	mute := lookAtLayer(ctx, config.Config{Layer: "nats://mute:s3cret@" + server.Address})
	expect(t, named(t, mute, "layer events"), Fail, "may publish and subscribe")

	hang(t, server.Process)
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	expect(t, named(t, lookAtLayer(ctx, config.Config{Layer: "nats://tea:s3cret@" + server.Address}), "layer"), Fail)
}
