// Command counter shows everybody how many are looking, as it changes. There is
// no socket and no consumer in it: an ordinary handler waits on the layer and
// streams server-sent events.
//
//	go run ./examples/counter
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"log"
	"net/http"
	"sync/atomic"

	"github.com/teahouse-chat/teahouse/channels"
)

// counter is how many visitors there are, and the layer that tells when that
// has changed.
type counter struct {
	layer    *channels.Layer
	visitors atomic.Int64
}

// come counts a visitor who comes (1) or goes (-1). The event says that there is
// news and not what: who gets it looks, so the last number shown is always right.
func (n *counter) come(r *http.Request, by int64) {
	n.visitors.Add(by)
	ctx := context.WithoutCancel(r.Context()) // who goes tells the others still
	if err := n.layer.GroupSend(ctx, "visitors", channels.Event{Type: "visitors.changed"}); err != nil {
		log.Print(err)
	}
}

// stream counts whoever asks as a visitor until they go, and tells the number at
// first and whenever it changes.
func (n *counter) stream(w http.ResponseWriter, r *http.Request) {
	news, err := n.layer.Subscribe(r.Context(), "visitors")
	if err != nil {
		http.Error(w, "Come again.", http.StatusServiceUnavailable)
		return
	}
	n.come(r, 1)
	defer n.come(r, -1)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	// The error of news is that some was missed, which is news as well.
	for range news {
		if _, err := fmt.Fprintf(w, "data: %d\n\n", n.visitors.Load()); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
	}
}

//go:embed page.html
var page []byte

func site(layer *channels.Layer) http.Handler {
	n := &counter{layer: layer}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /visitors", n.stream)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})
	return mux
}

func main() {
	listen := flag.String("listen", "localhost:8000", "host:port to serve on")
	flag.Parse()
	log.Printf("open http://%s/", *listen)
	log.Fatal(http.ListenAndServe(*listen, site(channels.NewLayer(nil))))
}
