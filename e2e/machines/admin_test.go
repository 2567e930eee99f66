package machines_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/server"
)

func TestMetricsAreOnTheAdminListenerOnly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := server.Start(t, "--admin", admin)
	if a := call(t, "POST", messages(s, "counted"), "hi"); a.Status != http.StatusCreated {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	res, err := client.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", res.StatusCode, err)
	}
	for _, want := range []string{"# TYPE teahouse_", "go_goroutines"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%.2000s", want, text)
		}
	}
	if strings.Contains(string(text), "counted") {
		t.Error("the metrics name a room")
	}
}
