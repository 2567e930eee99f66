package brokertest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/brokertest"
)

// planted are defects, each with a test of the suite that must fail at it.
var planted = map[string]struct {
	caught string // the name of the test in Run
	plant  func(hubBroker, *defect)
}{
	"twice": {"a_follower_gets_what_others_publish_and_not_what_it_publishes", func(b hubBroker, d *defect) {
		d.deliver = func(ctx context.Context, x channels.Delivery) error {
			return errors.Join(d.node.Deliver(ctx, x), d.node.Deliver(ctx, x))
		}
	}},
	"own": {"a_follower_gets_what_others_publish_and_not_what_it_publishes", func(b hubBroker, d *defect) {
		d.publish = func(ctx context.Context, x channels.Delivery) error {
			m, _ := x.Event.Map()
			y := channels.Delivery{Group: x.Group, Channels: x.Channels}
			y.Event, _ = channels.EventFromMap(m)
			return errors.Join(b.Publish(ctx, x), d.node.Deliver(ctx, y))
		}
	}},
	"order": {"the_order_of_each_sender_holds_while_many_send", func(_ hubBroker, d *defect) {
		var kept []channels.Delivery
		d.deliver = func(ctx context.Context, x channels.Delivery) error {
			if kept = append(kept, x); len(kept) < 5 {
				return nil
			}
			slices.Reverse(kept)
			for _, k := range kept {
				_ = d.node.Deliver(ctx, k)
			}
			kept = nil
			return nil
		}
	}},
	"unfollow": {"an_unfollowed_group_is_silent", func(_ hubBroker, d *defect) {
		d.unfollow = func(context.Context, []string) error { return nil }
	}},
	"names": {"any_text_is_a_name", func(b hubBroker, d *defect) {
		d.publish = func(ctx context.Context, x channels.Delivery) error {
			x.Group = strings.TrimSpace(x.Group)
			return b.Publish(ctx, x)
		}
	}},
	"silent loss": {"who_is_slow_loses_nothing_in_silence", func(_ hubBroker, d *defect) {
		d.quiet = true
	}},
	"gap": {"a_broken_connection_heals_and_is_told", func(_ hubBroker, d *defect) {
		d.quiet = true
	}},
	"large": {"a_large_event_arrives_and_a_larger_one_is_refused", func(b hubBroker, d *defect) {
		d.publish = func(ctx context.Context, x channels.Delivery) error {
			if err := b.Publish(ctx, x); !errors.Is(err, channels.ErrTooLarge) {
				return err
			}
			return nil
		}
	}},
	"full": {"a_full_channel_is_told_to_the_sender", func(b hubBroker, d *defect) {
		d.publish = func(ctx context.Context, x channels.Delivery) error {
			if err := b.Publish(ctx, x); !errors.Is(err, channels.ErrChannelFull) {
				return err
			}
			return nil
		}
	}},
	"close": {"nothing_is_delivered_after_Close", func(_ hubBroker, d *defect) {
		d.closing = func() error { return nil }
	}},
}

// hubBroker is all that a broker of a Hub is.
type hubBroker interface {
	channels.Broker
	Close() error
}

// defect is a broker of a Hub with something else in place of its own.
type defect struct {
	hubBroker
	node     channels.Node
	quiet    bool // Gap and Dropped tell nothing
	deliver  func(context.Context, channels.Delivery) error
	publish  func(context.Context, channels.Delivery) error
	unfollow func(context.Context, []string) error
	closing  func() error
}

func (d *defect) Start(n channels.Node) {
	d.node = n
	if d.deliver != nil {
		n.Deliver = d.deliver
	}
	if d.quiet {
		n.Gap, n.Dropped = func(...string) {}, func(string, int) {}
	}
	d.hubBroker.Start(n)
}

func (d *defect) Publish(ctx context.Context, x channels.Delivery) error {
	if d.publish != nil {
		return d.publish(ctx, x)
	}
	return d.hubBroker.Publish(ctx, x)
}

func (d *defect) Unfollow(ctx context.Context, groups []string) error {
	if d.unfollow != nil {
		return d.unfollow(ctx, groups)
	}
	return d.hubBroker.Unfollow(ctx, groups)
}

func (d *defect) Close() error {
	if d.closing != nil {
		return d.closing()
	}
	return d.hubBroker.Close()
}

// plantedVariable names the defect that TestAPlantedDefect is run with.
const plantedVariable = "TEAHOUSE_PLANTED_BROKER"

// TestTheSuiteFindsPlantedDefects runs the suite in another process for each
// defect, since a test cannot fail and be content.
func TestTheSuiteFindsPlantedDefects(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	for name, p := range planted {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.timeout", "2m", "-test.run", "^TestAPlantedDefect$/^"+p.caught+"$")
			command.Env = append(os.Environ(), plantedVariable+"="+name)
			out, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestAPlantedDefect/"+p.caught) {
				t.Errorf("the defect was not found: %v\n%s", err, out)
			}
		})
	}
}

func TestAPlantedDefect(t *testing.T) {
	name := os.Getenv(plantedVariable)
	if name == "" {
		return // run by TestTheSuiteFindsPlantedDefects
	}
	brokertest.Run(t, func(t testing.TB) brokertest.Setup {
		s := hub(t)
		s.Patience = 2 * time.Second // most defects are found by what does not come
		whole := s.New
		s.New = func(t testing.TB) channels.Broker {
			d := &defect{hubBroker: whole(t).(hubBroker)}
			planted[name].plant(d.hubBroker, d)
			return d
		}
		return s
	})
}
