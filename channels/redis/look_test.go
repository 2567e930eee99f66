package redis_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestServersTellAboutThemselves(t *testing.T) {
	bounded := parts.Redis(t, parts.RedisOptions{Args: []string{"--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"}})
	free := parts.Redis(t, parts.RedisOptions{})
	free.Must("ACL", "SETUSER", "mute", "on", ">s3cret", "+ping")
	mute := "redis://mute:s3cret@" + free.Address
	wrong := "redis://mute:wr0ng@" + free.Address
	servers, err := redis.Look(t.Context(), redis.Options{Hosts: []string{bounded.URL(), free.URL(), mute, wrong, "redis://127.0.0.1:1"}})
	if err != nil || len(servers) != 5 {
		t.Fatalf("got %+v, %v", servers, err)
	}
	for i, want := range []redis.Server{
		{Mode: "standalone", Role: "master", MaxMemory: 64 << 20, Eviction: "allkeys-lru"},
		{Mode: "standalone", Role: "master", Eviction: "noeviction"},
		{},
	} {
		got := servers[i]
		if got.Err != nil || got.RoundTrip <= 0 || (got.Version == "") != (want.Mode == "") {
			t.Errorf("%s: got %+v", got.Host, got)
		}
		got.Host, got.RoundTrip, got.Version = "", 0, ""
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for i, says := range map[int]string{3: "WRONGPASS", 4: "refused"} {
		if err := servers[i].Err; err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("%s: got %v, want %s", servers[i].Host, err, says)
		}
	}
}

func TestLookingAtAServerThatHangsEnds(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	server.Signal(syscall.SIGSTOP)
	defer server.Signal(syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	servers, err := redis.Look(ctx, redis.Options{Hosts: []string{server.URL()}})
	if err != nil || servers[0].Err == nil {
		t.Errorf("got %+v, %v", servers, err)
	}
}
