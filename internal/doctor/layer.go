package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/nats"
	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/internal/config"
)

const (
	slowEvent   = 20 * time.Millisecond
	fullPayload = 1 << 20 // what a message with all that belongs to it may have
	events      = 11      // sent to measure; an odd number has a median
)

// broker is one end of a layer between processes.
type broker interface {
	channels.Broker
	io.Closer
}

func lookAtLayer(ctx context.Context, c config.Config) []Finding {
	if c.Layer == config.Memory {
		f := found("layer", "memory: this server is alone")
		if c.PostgreSQL() {
			f = found("layer", "memory: servers of this database do not hear each other at once").
				warn("for several servers say --layer redis://HOST or --layer nats://HOST; for one server SQLite is faster")
		}
		return []Finding{f}
	}
	findings, open := lookAtRedis, openRedis
	if config.NATS(c.Layer) {
		findings, open = lookAtNATS, openNATS
	}
	servers := findings(ctx, c.Layer)
	if Worst(servers) == Fail {
		return servers
	}
	return append(servers, lookAtEvents(ctx, func() (broker, error) { return open(c.Layer) }))
}

func openRedis(url string) (broker, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return redis.New(o)
}

func openNATS(url string) (broker, error) {
	o, err := nats.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return nats.New(o)
}

// layerFailed is a layer of which nothing can be used.
func layerFailed(err error) Finding {
	return found("layer", "%v", err).fail("correct --layer, or start what it stands for; without it people here are served, and hear the others late")
}

func lookAtRedis(ctx context.Context, url string) []Finding {
	o, err := redis.ParseURL(url)
	if err != nil {
		return []Finding{layerFailed(err)}
	}
	servers, err := redis.Look(ctx, o)
	if err != nil {
		return []Finding{layerFailed(err)}
	}
	var findings []Finding
	for _, s := range servers {
		findings = append(findings, judgeRedis(s, o.PubSub))
	}
	return findings
}

func judgeRedis(s redis.Server, pubsub bool) Finding {
	if s.Err != nil {
		return layerFailed(s.Err)
	}
	version, memory := s.Version, ""
	if version == "" {
		version = "of a version that its user may not know"
	}
	if s.MaxMemory > 0 {
		memory = fmt.Sprintf(", at most %s with %s", size(uint64(s.MaxMemory)), s.Eviction)
	}
	f := found("layer", "Redis %s at %s, %v for a round trip%s", version, s.Host, short(s.RoundTrip), memory)
	switch {
	case s.Role == "slave":
		f = f.fail("it is a replica, which takes no writes: name its master, or its Sentinels with redis+sentinel://")
	case s.Mode == "cluster":
		f = f.fail("it is one of a Redis Cluster, which the layer does not know: use a Redis of its own")
	case s.Mode == "sentinel":
		f = f.fail("it is a Sentinel: write redis+sentinel://HOST:26379/NAME")
	case s.MaxMemory > 0 && s.Eviction != "noeviction" && !pubsub:
		f = f.warn("at that bound it forgets who is in which group: set maxmemory-policy noeviction, or give the layer a Redis of its own")
	case s.RoundTrip > slowEvent:
		f = f.warn("events take as long: bring the server and Redis nearer to each other")
	}
	return f
}

func lookAtNATS(ctx context.Context, url string) []Finding {
	o, err := nats.ParseURL(url)
	if err != nil {
		return []Finding{layerFailed(err)}
	}
	s, err := nats.Look(ctx, o)
	if err != nil {
		return []Finding{layerFailed(err)}
	}
	tls := ""
	if s.TLS {
		tls = " with TLS"
	}
	f := found("layer", "NATS %s at %s%s, %v for a round trip, payloads up to %s, %d other servers of its cluster",
		s.Version, s.Host, tls, short(s.RoundTrip), size(uint64(s.MaxPayload)), s.Others)
	switch {
	case s.MaxPayload < fullPayload:
		f = f.warn("long messages reach other servers late: set max_payload to 1MB, its default")
	case s.RoundTrip > slowEvent:
		f = f.warn("events take as long: bring the server and NATS nearer to each other")
	}
	return []Finding{f}
}

// lookAtEvents sends events from one end of the layer to another, as from one
// server to another, in a group that nobody else is in.
func lookAtEvents(ctx context.Context, open func() (broker, error)) Finding {
	took, err := timeEvents(ctx, open)
	if err != nil {
		return found("layer events", "none arrives: %v", err).
			fail("see that its user may publish and subscribe, and that all servers have the same --layer")
	}
	f := found("layer events", "%v from one server to another", short(took))
	if took > slowEvent {
		f = f.warn("people on other servers see messages as much later: see whether the layer has too much to do")
	}
	return f
}

// timeEvents is the median.
func timeEvents(ctx context.Context, open func() (broker, error)) (_ time.Duration, err error) {
	var ends [2]*channels.Layer
	for i := range ends {
		b, err := open()
		if err != nil {
			return 0, err
		}
		l := channels.NewLayer(&channels.LayerOptions{Broker: b, Logger: slog.New(slog.DiscardHandler)})
		defer func() { err = errors.Join(err, l.Close(), b.Close()) }()
		ends[i] = l
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group := "doctor_" + rand.Text()
	arrivals, err := ends[1].Subscribe(ctx, group)
	if err != nil {
		return 0, err
	}
	sent := time.Now()
	if err := send(ctx, ends[0], group); err != nil {
		return 0, err
	}
	var took []time.Duration
	for _, err := range arrivals {
		if took = append(took, time.Since(sent)); err != nil || len(took) == events {
			break
		}
		sent = time.Now()
		if err := send(ctx, ends[0], group); err != nil {
			return 0, err
		}
	}
	if len(took) < events {
		return 0, fmt.Errorf("%d of %d came", len(took), events)
	}
	slices.Sort(took)
	return took[events/2], nil
}

func send(ctx context.Context, l *channels.Layer, group string) error {
	return l.GroupSend(ctx, group, channels.Event{Type: "doctor.look", Payload: map[string]any{}})
}
