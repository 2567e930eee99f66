package app

import (
	"context"
	"fmt"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/nats"
	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/internal/bridge"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/live"
)

const (
	leaseFor     = 5 * time.Second        // a server that dies is replaced at Django's ear after this long
	djangoWaits  = 8192                   // events of a Django group that may wait to be taken
	brokerWithin = 500 * time.Millisecond // for the last events to reach other processes, and again to say goodbye
)

// openLayer makes the layer, and its broker if it has one. That need not be
// reachable.
func (a *app) openLayer() error {
	o := &channels.LayerOptions{
		Backlog: a.config.Backlog, Logger: a.log,
		Capacities: []channels.Capacity{{Pattern: "subscription.*", Events: djangoWaits}},
	}
	if a.config.Layer != config.Memory {
		if err := a.openBroker(); err != nil {
			return &config.Wrong{Err: fmt.Errorf("the layer cannot be used: %w", err)}
		}
		a.relay = live.NewRelay(live.RelayOptions{
			Broker: a.broker, Logger: a.log,
			Shared: a.config.PostgreSQL(), // a database in a file belongs to one process
		})
		o.Broker = a.relay
	}
	a.layer = channels.NewLayer(o)
	return nil
}

// broker is what joins the layers of several processes.
type broker interface {
	channels.Broker
	Close() error
}

// brokerState is what a broker knows of one of its servers, or of all together.
type brokerState struct {
	Host      string
	Connected bool
	Err       error
}

// openBroker makes the broker that the layer's URL stands for.
func (a *app) openBroker() error {
	if config.NATS(a.config.Layer) {
		options, err := nats.ParseURL(a.config.Layer)
		if err != nil {
			return err
		}
		b, err := nats.New(options)
		if err != nil {
			return err
		}
		a.broker, a.brokerName, a.brokerStates = b, "NATS", states(b.States)
		return nil
	}
	options, err := redis.ParseURL(a.config.Layer)
	if err != nil {
		return err
	}
	b, err := redis.New(options)
	if err != nil {
		return err
	}
	a.redis, a.broker, a.brokerName, a.brokerStates = b, b, "Redis", states(b.States)
	return nil
}

// states are those of any broker.
func states[S interface {
	~struct {
		Host      string
		Connected bool
		Err       error
	}
}](of func() []S) func() []brokerState {
	return func() []brokerState {
		all := of()
		states := make([]brokerState, len(all))
		for i, s := range all {
			states[i] = brokerState(s)
		}
		return states
	}
}

// closeLayer gives other processes what waits for them, as far as that is quick.
func (a *app) closeLayer() {
	if a.layer == nil {
		return
	}
	if a.bridge != nil {
		a.bridge.Close()
	}
	if err := a.layer.Close(); err != nil {
		a.log.Error("close the layer", "err", err)
	}
	if a.broker == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), brokerWithin)
	defer cancel()
	a.relay.Close(ctx)
	closed := make(chan error, 1)
	go func() { closed <- a.broker.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			a.log.Error("close the connection to "+a.brokerName, "err", err)
		}
	case <-time.After(brokerWithin):
		a.log.Warn(a.brokerName + " does not answer, and was not told that this server leaves") // the process ends with it
	}
}

// lease is the right to listen to Django for the log of one store.
type lease struct {
	broker redis.Broker
	name   string
}

func (l lease) Hold(ctx context.Context, while func(ctx context.Context, held func() bool)) {
	_ = l.broker.Hold(ctx, l.name, leaseFor, func(ctx context.Context) {
		while(ctx, func() bool { return redis.Held(ctx) })
	}) // it ends with ctx or the broker
}

// openBridge makes the bridge to Django, if rooms are shared with it.
func (a *app) openBridge(epoch string) (err error) {
	d := a.config.Django
	if len(d.Rooms) == 0 {
		return nil
	}
	name := "teahouse.django." + epoch
	o := bridge.Options{
		Layer: a.layer, Service: poster{a}, Rooms: a.store.Rooms, Lease: lease{a.redis, name},
		Patterns: d.Rooms, Name: d.Name, Usernames: d.Usernames, Logger: a.log,
	}
	if a.config.PostgreSQL() {
		o.Neighbours = name
	}
	a.bridge, err = bridge.New(o)
	if err != nil {
		return &config.Wrong{Err: fmt.Errorf("rooms cannot be shared with Django, see --django-rooms and --django-name: %w", err)}
	}
	return nil
}

// poster is the service, which is made after the bridge.
type poster struct{ app *app }

func (p poster) Post(ctx context.Context, post chat.Post) (chat.Message, bool, error) {
	return p.app.service.Post(ctx, post)
}

// publish is chat.Options.Publish: first the people here, then Django.
func (a *app) publish() func(room string, m chat.Message) {
	if a.bridge == nil {
		return func(room string, m chat.Message) { a.live.Publish(room, m) } // which is made after the service
	}
	return func(room string, m chat.Message) {
		a.live.Publish(room, m)
		a.bridge.Publish(room, m)
	}
}

// occupied is live.Options.Occupied.
func (a *app) occupied() func(room string, somebody bool) {
	if a.bridge == nil {
		return nil
	}
	return a.bridge.Occupied
}

// startBridge listens to Django until stopBridge, which waits until what came is
// stored; if Redis hangs, not until the lease is given back.
func (a *app) startBridge() {
	if a.bridge == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.bridge.Run(ctx)
	}()
	a.stopBridge = func(within context.Context) {
		a.stopBridge = func(context.Context) {}
		cancel()
		select {
		case <-ended:
		case <-within.Done():
			a.log.Warn("Redis does not answer: another server listens to Django in a few seconds")
		}
	}
}

// disconnected says that some of the layer's servers could not be reached.
func (a *app) disconnected() bool {
	if a.broker == nil {
		return false
	}
	for _, s := range a.brokerStates() {
		if !s.Connected && s.Err != nil {
			return true
		}
	}
	return false
}
