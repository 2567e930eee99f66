package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) {
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin"); err != nil { // where Debian has nginx and haproxy
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit))
}

// name is what the files of deploy/ call the site.
const name = "chat.example.org"

// site is a proxy in front of two servers of one chat.
type site struct {
	t       *testing.T
	proxy   *parts.Process
	nodes   [2]*server.Server
	address string // of the proxy's TLS, host:port
	plain   string // and of its HTTP
	host    string // that visitors see, name:port
	base    string // https:// and host
	roots   *x509.CertPool

	chromium *chrome.Browser // that finds name here, and believes its certificate
}

// certificate writes one for name and its key, each alone and both together,
// into dir.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for file, text := range map[string][]byte{"cert.pem": certPEM, "key.pem": keyPEM, "both.pem": append(certPEM, keyPEM...)} {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return roots
}

// freePort is a port of 127.0.0.1 that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// deployed is a file of deploy/ with texts replaced; each must stand there.
func deployed(t *testing.T, file string, pairs ...string) string {
	t.Helper()
	root, err := server.Root()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(root, "deploy", file))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("deploy/%s has no %q any more: adapt the test", file, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// from is a dialer from an address of this machine: for the proxy, a visitor of
// their own.
func from(local string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}, Timeout: server.Patience}
}

// browser makes requests from a local address, to the proxy whatever their
// host is; with modern it speaks HTTP/2 where the proxy does.
func (s *site) browser(local string, modern bool) *http.Client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return from(local).DialContext(ctx, network, s.address)
		},
		TLSClientConfig:   &tls.Config{RootCAs: s.roots},
		ForceAttemptHTTP2: modern,
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// do sends a request with header lines ("Name: value") and reads the answer.
func (s *site) do(c *http.Client, method, path, body string, lines ...string) (*http.Response, string) {
	s.t.Helper()
	res, text, err := s.try(c, method, path, body, lines...)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, text
}

func (s *site) try(c *http.Client, method, path, body string, lines ...string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

// dial opens a WebSocket through the proxy.
func (s *site) dial(local, path string, lines ...string) (*socket.Conn, error) {
	nc, err := tls.DialWithDialer(from(local), "tcp", s.address, &tls.Config{RootCAs: s.roots, ServerName: name})
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { _ = nc.Close() }) // it may be closed already
	return socket.Upgrade(nc, socket.Request(s.host, path, lines...))
}

// enter opens a rich socket, says hello and joins the lobby.
func (s *site) enter(local string, lines ...string) *guest.Guest {
	s.t.Helper()
	c, err := s.dial(local, "/ws", append(lines, "Sec-WebSocket-Protocol: "+wire.Subprotocol)...)
	if err != nil {
		s.t.Fatal(err)
	}
	g := &guest.Guest{Conn: c}
	if err := g.Say("", wire.Hello{}); err != nil {
		s.t.Fatal(err)
	}
	if g.Welcome, err = guest.Await[wire.Welcome](g); err != nil {
		s.t.Fatal(err)
	}
	if _, _, err := g.Join(wire.Join{Room: "lobby"}); err != nil {
		s.t.Fatal(err)
	}
	return g
}
