package main

import (
	"context"
	_ "embed"
	"errors"
	"log"
	"net/http"
	"strconv"

	"github.com/teahouse-chat/teahouse/channels"
)

//go:embed page.html
var page []byte

// site is the page, what its form posts to, and the socket that the results
// come by.
func site(layer *channels.Layer) (http.Handler, *channels.Endpoint) {
	results := channels.Handler(
		func() channels.Consumer { return channels.Base{} }, // it has nothing to do: Render does it
		&channels.Options{
			Layer:  layer,
			Groups: []string{"results"}, // of every connection
			Render: map[string]func(channels.Event) (channels.Frame, error){
				"factors.found": func(e channels.Event) (channels.Frame, error) { return channels.JSONFrame(e.Payload) },
			},
		})
	mux := http.NewServeMux()
	mux.Handle("/results", results)
	mux.HandleFunc("POST /numbers", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
		if err != nil || n < 2 {
			http.Error(w, "Give me a number from 2 on.", http.StatusUnprocessableEntity)
			return
		}
		post(r.Context(), w, layer, n)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})
	return http.NewCrossOriginProtection().Handler(mux), results
}

// post gives a number to whichever worker takes it first, and does not wait.
func post(ctx context.Context, w http.ResponseWriter, layer *channels.Layer, n int64) {
	err := layer.Send(ctx, "factors", channels.Event{
		Type:    "factors.find",
		Payload: map[string]any{"n": n},
	})
	switch {
	case errors.Is(err, channels.ErrChannelFull): // as many wait as may: Capacity
		http.Error(w, "Too much to do, come again.", http.StatusServiceUnavailable)
	case err != nil: // Redis cannot be reached
		log.Print(err)
		http.Error(w, "Something went wrong.", http.StatusInternalServerError)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}
