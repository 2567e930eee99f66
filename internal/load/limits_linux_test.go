package load

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestAServerWithoutLimitsIsMeasuredAndSoIsOneThatSaysNothing(t *testing.T) {
	if p := small(Idle, teahouse(t)); Limited(t.Context(), p) {
		t.Error("a server with --limits off is said to have limits")
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for _, at := range []string{strings.TrimPrefix(other.URL, "http://"), "127.0.0.1:1"} {
		if Limited(t.Context(), small(Idle, netip.MustParseAddrPort(at))) {
			t.Errorf("%s is said to have limits", at)
		}
	}
}
