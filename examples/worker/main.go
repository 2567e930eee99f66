// Command worker has work done in the background: a page posts numbers, a worker
// takes them from the channel "factors", finds their prime factors, and tells
// everybody who is looking.
//
//	go run ./examples/worker
//
// The two halves can be processes of their own, as many as there is work for:
//
//	go run ./examples/worker -layer redis://localhost:6379 -only page
//	go run ./examples/worker -layer redis://localhost:6379 -only work
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/channels/worker"
)

func main() {
	listen := flag.String("listen", "localhost:8000", "host:port of the page")
	layer := flag.String("layer", "", "redis://host; empty is this process alone")
	only := flag.String("only", "", "page or work; empty is both")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *layer, *only); err != nil {
		log.Fatal(err)
	}
}

// run serves the page and does the work, until ctx ends. Work that has been
// begun is finished; what waits is for the next worker.
func run(ctx context.Context, listen, url, only string) error {
	var o channels.LayerOptions
	if url != "" {
		hosts, err := redis.ParseURL(url)
		if err != nil {
			return err
		}
		broker, err := redis.New(hosts)
		if err != nil {
			return err
		}
		defer broker.Close()
		o.Broker = broker
	}
	layer := channels.NewLayer(&o)
	defer layer.Close()

	ctx, stop := context.WithCancel(ctx) // neither half goes on without the other
	defer stop()
	var both sync.WaitGroup
	errs := make([]error, 2)
	if only != "work" {
		both.Go(func() {
			defer stop()
			errs[0] = serve(ctx, listen, layer)
		})
	}
	if only != "page" {
		both.Go(func() {
			defer stop()
			errs[1] = worker.Run(ctx, layer, work(layer))
		})
	}
	both.Wait()
	return errors.Join(errs...)
}

// serve serves the page until ctx ends.
func serve(ctx context.Context, listen string, layer *channels.Layer) error {
	handler, results := site(layer)
	server := &http.Server{Addr: listen, Handler: handler}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx := context.WithoutCancel(ctx)
		stopped <- errors.Join(server.Shutdown(ctx), results.Shutdown(ctx, 1001, nil))
	})
	log.Printf("open http://%s/", listen)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	return <-stopped
}
