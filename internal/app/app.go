// Package app builds the server from its configuration, runs it and stops it in
// order: first the listeners, then the sockets, then the log, then the layer and the store.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/internal/auth"
	"github.com/teahouse-chat/teahouse/internal/bridge"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/limit"
	"github.com/teahouse-chat/teahouse/internal/live"
	"github.com/teahouse-chat/teahouse/internal/metrics"
	"github.com/teahouse-chat/teahouse/internal/pages"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
	"github.com/teahouse-chat/teahouse/wire"
)

// Run serves until ctx ends and then stops in order; nil is an orderly stop.
// It tells people the address on out and writes its log to errw. Errors are
// sentences that say what to do; those that only another setting mends are
// config.Wrong.
func Run(ctx context.Context, c config.Config, out, errw io.Writer) error {
	log := newLogger(c, errw)
	warnOfFiles(log, mostFiles())
	a, err := open(ctx, c, log)
	switch {
	case err != nil && ctx.Err() != nil: // what was under way failed because of it, in whatever words
		log.Info("stopped while starting")
		return nil
	case err != nil:
		return err
	}
	defer a.close()
	main, err := listen(c.Listen, "--listen")
	if err != nil {
		return err
	}
	servers := []*server{a.serve(main, a.handler())}
	if c.Admin != "" {
		admin, err := listen(c.Admin, "--admin")
		if err != nil {
			return errors.Join(err, stop(servers))
		}
		servers = append(servers, a.serve(admin, a.adminHandler(isLocal(admin.Addr()))))
	}
	greet(out, c, main.Addr())
	log.Info("started", "listen", main.Addr().String(), "version", version(), "store", keptIn(c))
	a.startBridge()
	a.ready.Store(true)
	notify(log, notifyReady)
	a.background.Go(func() { tendMemory(a.streams, memoryEvery) })
	failed := make(chan error, len(servers))
	for _, s := range servers {
		go func() { failed <- s.wait() }()
	}
	select {
	case <-ctx.Done():
		log.Info("stopping", "drain", c.DrainTime())
		notify(log, notifyStopping)
		return a.stop(servers, a.drainFor(c.DrainTime()))
	case <-a.replaced:
		err = sqlstore.ErrReplaced
	case err = <-failed:
		err = fmt.Errorf("the server stopped by itself: %w", err)
	}
	return errors.Join(err, a.stop(servers, a.drainFor(0)))
}

// app is everything that lives as long as the server.
type app struct {
	config   config.Config
	log      *slog.Logger
	store    *sqlstore.Store
	replaced <-chan struct{} // another database stands where the store was
	service  *chat.Service
	layer    *channels.Layer
	broker   broker       // nil: this process is alone
	redis    redis.Broker // the same, if it is of Redis
	relay    *live.Relay  // before the broker

	brokerName   string // Redis or NATS, for people
	brokerStates func() []brokerState

	bridge     *bridge.Bridge // nil: no rooms are shared with Django
	stopBridge func(within context.Context)
	limiter    *limit.Limiter
	guests     *auth.Guests
	sites      *auth.Sites
	live       *live.Server
	pages      *pages.Pages
	metrics    *metrics.Metrics
	ready      atomic.Bool
	leaving    atomic.Bool     // the stop has begun
	full       seldom          // what tellFull says
	streams    context.Context // of server-sent events and other long answers
	endLong    context.CancelFunc
	background sync.WaitGroup // ends with the streams
}

// open builds the parts: the layer, the store and what stands on both. The layer
// need not be reachable, so what is wrong with its setting is known before
// anything is made.
func open(ctx context.Context, c config.Config, log *slog.Logger) (*app, error) {
	a := &app{config: c, log: log, metrics: metrics.New(), stopBridge: func(context.Context) {}}
	if err := a.openLayer(); err != nil {
		return nil, err
	}
	if err := a.openStore(ctx); err != nil {
		a.closeLayer()
		return nil, err
	}
	if err := a.build(ctx); err != nil {
		a.closeLayer()
		return nil, errors.Join(err, a.store.Close())
	}
	return a, nil
}

func (a *app) openStore(ctx context.Context) error {
	c := a.config
	if !c.PostgreSQL() {
		if err := os.MkdirAll(c.Data, 0o700); err != nil {
			return fmt.Errorf("cannot make the data folder %s: choose another with --data: %w", c.Data, reason(err))
		}
	}
	store, err := sqlstore.Open(ctx, c.StoreAt(), a.log)
	if errors.Is(err, sqlstore.ErrAddress) {
		return &config.Wrong{Err: err}
	}
	if err != nil {
		return err
	}
	a.store, a.replaced = store, store.Replaced()
	return nil
}

// reason is what the system said, without the path that the sentence has.
func reason(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func (a *app) build(ctx context.Context) error {
	c := a.config
	settings, err := a.store.Settings(ctx)
	if err != nil {
		return fmt.Errorf("read the settings of the database: %w", err)
	}
	if a.sites, err = auth.NewSites(c.BaseURL, c.Origins, c.Listen, c.Admin); err != nil {
		return &config.Wrong{Err: err}
	}
	a.streams, a.endLong = context.WithCancel(context.WithoutCancel(ctx))
	a.limiter = limit.New(limit.Options{Off: !c.Limits, PerAddress: c.PerAddress})
	if err := a.openBridge(settings.Epoch); err != nil {
		return err
	}
	a.service, err = chat.New(ctx, chat.Options{
		Store:     a.store,
		Publish:   a.publish(),
		Renamed:   func(u chat.User) { a.live.Renamed(u) },
		Limiter:   a.limiter,
		Committed: observeCommits(a.metrics),
		Logger:    a.log,
	})
	if err != nil {
		return err
	}
	a.guests = auth.NewGuests(a.service, settings.Key, strings.HasPrefix(c.BaseURL, "https:"))
	rate, burst := a.limiter.Rate(chat.LimitMessages)
	a.live = live.New(live.Options{
		Layer:      a.layer,
		Relay:      a.relay,
		Shared:     c.PostgreSQL(),
		Service:    a.service,
		Key:        settings.Key,
		Identities: a.guests,
		Sockets:    sockets{a.limiter},
		Limiter:    a.limiter,
		Origins:    a.sites.AllowSocket,
		Locale:     auth.Language,
		Limits: wire.Limits{
			Frame: wire.MaxFrame, Text: wire.MaxText, History: wire.MaxHistory, Replay: wire.MaxReplay,
			Rooms: wire.MaxRooms, Rate: rate, Burst: burst,
		},
		Version:  version(),
		Occupied: a.occupied(),
		Logger:   a.log,
	})
	a.pages, err = pages.New(pages.Options{
		Chat: a.service, Identity: a.guests, BaseURL: c.BaseURL, Logger: a.log,
	})
	if err != nil {
		return fmt.Errorf("read the embedded pages: %w", err)
	}
	a.register()
	return nil
}

// close gives back what open took. Where stop has come before, the log has ended
// or has been given up.
func (a *app) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	a.endLong()
	a.background.Wait()
	a.stopBridge(ctx)
	err := a.service.Shutdown(ctx)
	a.closeLayer()
	if err != nil {
		a.log.Error("stop the log", "err", err)
		return // a store that still writes cannot be closed; the process ends with it
	}
	a.closeStore()
}

// closeStore waits for a database in a file as long as it takes. One across a
// network may answer nothing to each of many connections in turn; all that was
// acknowledged is stored.
func (a *app) closeStore() {
	closed := make(chan error, 1)
	go func() { closed <- a.store.Close() }()
	var late <-chan time.Time
	if a.config.PostgreSQL() {
		late = time.After(storeWithin)
	}
	select {
	case err := <-closed:
		if err != nil {
			a.log.Error("close the store", "err", err)
		}
	case <-late:
		a.log.Warn("PostgreSQL does not answer, and was not told that this server leaves") // the process ends with it
	}
}

// sockets counts open sockets by the limits of package limit.
type sockets struct{ limiter *limit.Limiter }

func (s sockets) AcquireAddress(address string) bool {
	return s.limiter.Acquire(limit.SocketsPerAddress, address)
}
func (s sockets) ReleaseAddress(address string) {
	s.limiter.Release(limit.SocketsPerAddress, address)
}
func (s sockets) AcquireUser(id chat.UserID) bool {
	return s.limiter.Acquire(limit.SocketsPerUser, id.String())
}
func (s sockets) ReleaseUser(id chat.UserID) { s.limiter.Release(limit.SocketsPerUser, id.String()) }

func newLogger(c config.Config, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// version of this build, for the welcome and the page.
func version() string {
	build, ok := debug.ReadBuildInfo()
	if !ok || build.Main.Version == "" || build.Main.Version == "(devel)" {
		return "devel"
	}
	return strings.TrimPrefix(build.Main.Version, "v")
}

// listen takes an address, or says which setting to change.
func listen(address, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError(address, setting, err)
	}
	return l, nil
}
