package app

import (
	"net"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMetricsAreReadByAnyNameWhereTheOperatorLetsOthersIn(t *testing.T) {
	a := whole(t)
	for _, c := range []struct {
		listens, host, path string
		want                int
	}{
		{"127.0.0.1", "localhost:9090", "/metrics", 200},
		{"127.0.0.1", "evil.example:9090", "/metrics", 421},
		{"127.0.0.1", "evil.example:9090", "/debug/pprof/", 421},
		{"127.0.0.1", "chat1.internal:9090", "/readyz", 503}, // it has not started
		{"::1", "evil.example:9090", "/metrics", 421},
		{"::", "chat1.internal:9090", "/metrics", 200},
		{"::", "chat1.internal:9090", "/healthz", 200},
		{"::", "chat1.internal:9090", "/debug/pprof/", 421},
		{"::", "localhost:9090", "/debug/pprof/", 200},
		{"::", "chat1.internal:9090", "/debug/pprof/../../metrics", 404},
		{"0.0.0.0", "chat1.internal:9090", "/metrics", 200},
		{"10.0.0.5", "chat1.internal:9090", "/metrics", 200},
		{"10.0.0.5", "10.0.0.5:9090", "/debug/pprof/", 200},
	} {
		r := httptest.NewRequest("GET", "http://"+c.host+c.path, nil)
		w := httptest.NewRecorder()
		a.adminHandler(isLocal(&net.TCPAddr{IP: net.ParseIP(c.listens), Port: 9090})).ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("on %s, %s%s is answered with %d, want %d: %.200s", c.listens, c.host, c.path, w.Code, c.want, w.Body)
		}
		if w.Code == 421 && !strings.Contains(w.Body.String(), "--admin") {
			t.Errorf("the advice is %q", w.Body)
		}
	}
}
