package channels_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// An ordinary handler follows a group: server-sent events, until the browser leaves.
func ExampleLayer_Subscribe() {
	layer := channels.NewLayer(nil)
	stream := func(w http.ResponseWriter, r *http.Request) {
		events, err := layer.Subscribe(r.Context(), "news")
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush() // the browser knows that it is subscribed
		for e, err := range events {
			if errors.Is(err, channels.ErrMissed) {
				fmt.Fprint(w, "event: reload\ndata:\n\n")
			} else {
				text, _ := json.Marshal(e.Payload)
				fmt.Fprintf(w, "data: %s\n\n", text)
			}
			if http.NewResponseController(w).Flush() != nil {
				return
			}
		}
	}

	server := httptest.NewServer(http.HandlerFunc(stream))
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	if err := layer.GroupSend(context.Background(), "news", channels.Event{Type: "news", Payload: "tea is ready"}); err != nil {
		fmt.Println(err)
	}
	line, _ := bufio.NewReader(resp.Body).ReadString('\n')
	fmt.Print(line)
	// Output: data: "tea is ready"
}

// A long poll answers with what is there, or waits for the next event. It
// subscribes before it looks, so nothing can come in between unseen.
func ExampleLayer_Subscribe_longPoll() {
	layer := channels.NewLayer(nil)
	look := func(ctx context.Context) string {
		// Nothing is there, and something comes just after that was seen.
		if err := layer.GroupSend(ctx, "news", channels.Event{Type: "news", Payload: "tea is ready"}); err != nil {
			fmt.Println(err)
		}
		return ""
	}
	poll := func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 25*time.Second)
		defer cancel()
		events, err := layer.Subscribe(ctx, "news")
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		news := look(ctx)
		if news == "" {
			for e := range events {
				news, _ = e.Payload.(string)
				break
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"news": news}) // empty after 25 s
	}

	w := httptest.NewRecorder()
	poll(w, httptest.NewRequest("GET", "/poll", nil))
	fmt.Print(w.Body)
	// Output: {"news":"tea is ready"}
}
