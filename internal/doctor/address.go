package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/wire"
)

const (
	answerWithin = 2 * time.Second
	mostRead     = 1 << 10 // bytes of an answer
)

// lookAtAddresses looks who has the addresses to listen on, and whether a server
// that runs can be reached by the public one.
func lookAtAddresses(ctx context.Context, c config.Config) []Finding {
	main, runs := lookAtAddress(ctx, "address", c.Listen, "--listen")
	findings := []Finding{main}
	if c.Admin != "" {
		admin, _ := lookAtAddress(ctx, "admin address", c.Admin, "--admin")
		findings = append(findings, judgeAdmin(admin, c.Admin))
	}
	if c.BaseURL == "" {
		return findings
	}
	return append(findings, lookAtPublic(ctx, c.BaseURL, runs))
}

// lookAtAddress says whether a server can listen there, or one does.
func lookAtAddress(ctx context.Context, name, address, setting string) (_ Finding, runs bool) {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return found(name, "%q is no address", address).fail("write host:port for %s", setting), false
	case port == "0":
		return found(name, "%s: any free port", address), false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	near := net.JoinHostPort(host, port)
	if text, err := get(ctx, "http://"+near, "/healthz"); err == nil && text == "ok" {
		ready, err := get(ctx, "http://"+near, "/readyz")
		f := found(name, "%s: a Teahouse answers there, and says %q", address, ready)
		if err != nil {
			f = found(name, "%s: a Teahouse answers there, and says: %v", address, err).warn("see its log")
		}
		return f, true
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return cannotListen(name, address, setting, err), false
	}
	_ = l.Close() // nobody was let in
	return found(name, "%s is free", address), false
}

func cannotListen(name, address, setting string, err error) Finding {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return found(name, "%s is in use by another program", address).fail("stop it, or choose another port with %s", setting)
	case errors.Is(err, syscall.EACCES):
		return found(name, "%s needs more rights", address).fail("choose a port from 1024 up with %s, or set AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit", setting)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return found(name, "%s is not an address of this machine", address).fail("choose another with %s", setting)
	}
	return found(name, "%v", err).fail("choose another address with %s", setting)
}

// judgeAdmin warns of an admin listener that others may reach.
func judgeAdmin(f Finding, address string) Finding {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	if local := host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsPrivate()); !local {
		f = f.warn("everybody who reaches it can read metrics and take profiles: keep it on localhost or in a private network")
	}
	return f
}

// lookAtPublic goes the way of a visitor: through the name, the proxy and TLS,
// for a page and for a socket.
func lookAtPublic(ctx context.Context, base string, runs bool) Finding {
	const name = "public address"
	u, err := url.Parse(base)
	if err != nil {
		return found(name, "%v", err).fail("correct --base-url")
	}
	if _, err := net.DefaultResolver.LookupHost(ctx, u.Hostname()); err != nil {
		return found(name, "%s has no address that can be found from here", u.Hostname()).warn("see that its name is in the DNS, or correct --base-url")
	}
	if !runs {
		return found(name, "%s: its name is known; no server runs here to be asked through it", base)
	}
	if text, err := get(ctx, base, "/healthz"); err != nil || text != "ok" {
		return found(name, "%s does not lead to a Teahouse: %v", base, cmp.Or(err, errors.New("something else answers"))).
			warn("see the proxy's settings and certificate: docs/operations.md has examples")
	}
	if err := knock(ctx, base); err != nil {
		return found(name, "%s leads to a Teahouse, but lets no WebSocket through: %v", base, err).
			warn("have the proxy pass the headers Upgrade and Connection on, and the Host as it came: docs/operations.md has examples")
	}
	return found(name, "%s leads to a Teahouse, for pages and for WebSockets", base)
}

// get reads a short answer with status 200.
func get(ctx context.Context, base, path string) (string, error) {
	res, err := request(ctx, base, path, nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostRead))
	text := strings.TrimSpace(string(body))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.100q", res.Status, text)
	}
	return text, err
}

// knock opens a socket and leaves before a word is said.
func knock(ctx context.Context, base string) error {
	res, err := request(ctx, base, "/ws", map[string]string{
		"Origin": base, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "ZG9jdG9yIGRvY3RvciBkbw==", "Sec-WebSocket-Protocol": wire.Subprotocol,
	})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("it is answered with %s", res.Status)
	}
	return nil
}

// request makes one on a connection of its own, and follows no redirect.
func request(ctx context.Context, base, path string, header map[string]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+path, nil)
	if err != nil {
		return nil, err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	var first http.Protocols
	first.SetHTTP1(true) // which sockets need
	client := http.Client{
		Timeout:       answerWithin,
		Transport:     &http.Transport{DisableKeepAlives: true, Protocols: &first},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client.Do(req)
}
