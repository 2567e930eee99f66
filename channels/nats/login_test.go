package nats

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// parsed is a URL whose servers are those of a test.
func parsed(tb testing.TB, format string, args ...any) Options {
	tb.Helper()
	o, err := ParseURL(fmt.Sprintf(format, args...))
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

func write(tb testing.TB, name string, b []byte) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestWaysToLogIn(t *testing.T) {
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ config, right, wrong string }{
		"a password": {
			`authorization { user: "me", password: "a,b@c" }`,
			"nats://me:a%%2Cb%%40c@%s", "nats://me:other@%s",
		},
		"a token": {`authorization { token: "secret" }`, "nats://secret@%s", "nats://%s"},
		"an nkey": {
			`authorization { users = [ { nkey: ` + public + ` } ] }`,
			"nats://%s?nkey=" + write(t, "user.nk", seed), "nats://me:secret@%s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := parts.NATS(t, parts.NATSOptions{Config: tt.config})
			start(t, parsed(t, tt.right, server.Address)).awaitsState(true, "")
			p := start(t, parsed(t, tt.wrong, server.Address))
			p.awaitsState(false, "Authorization Violation")
			err := p.send("g", "x")
			if err == nil || !strings.Contains(err.Error(), "Authorization Violation") || strings.Contains(err.Error(), "secret") {
				t.Errorf("Publish: %v", err)
			}
		})
	}
}

func TestFilesThatAreNotThereAreErrorsAtOnce(t *testing.T) {
	for _, param := range []string{"creds", "nkey"} {
		_, err := New(parsed(t, "nats://localhost?%s=/no/such/file", param))
		if err == nil || !strings.Contains(err.Error(), "nats: read the "+param) {
			t.Errorf("%s: %v", param, err)
		}
	}
}

func TestAMissingPermissionIsToldAndNotPassedOverInSilence(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{Config: `authorization { users = [
		{ user: a, password: a, permissions: { publish: "teahouse.>", subscribe: "teahouse.>" } }
		{ user: b, password: b, permissions: { publish: "teahouse.>", subscribe: "other.>" } }
		{ user: c, password: c, permissions: { publish: "other.>", subscribe: "teahouse.>" } }
	] }`})
	p := start(t, parsed(t, "nats://a:a@%s", server.Address))
	p.follow("g")
	p.awaitsState(true, "")
	start(t, parsed(t, "nats://b:b@%s", server.Address)).awaitsState(false, `permissions violation: Permissions Violation for Subscription to "teahouse.`)

	q := start(t, parsed(t, "nats://c:c@%s", server.Address))
	q.awaitsState(true, "")
	_ = q.send("g", "x")
	q.awaitsState(false, `Permissions Violation for Publish to "teahouse.g.g"`)
}

func TestTheServersLimitIsAClearError(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{Config: "max_payload: 4096"})
	p, q := start(t, at(server)), start(t, at(server))
	p.follow("g")
	err := q.send("g", strings.Repeat("x", 4096))
	if !errors.Is(err, channels.ErrTooLarge) || !strings.Contains(err.Error(), "its max_payload is 4096") {
		t.Errorf("Publish: %v", err)
	}
	q.mustSend("g", "small")
	p.awaits("small")
}

// certificate makes a certificate for 127.0.0.1 that is its own authority, and
// gives the names of its file and that of its key.
func certificate(tb testing.TB) (cert, key string) {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		tb.Fatal(err)
	}
	return write(tb, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		write(tb, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	server := parts.NATS(t, parts.NATSOptions{
		Config: fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", cert, key, cert),
	})
	all := fmt.Sprintf("?ssl_ca_certs=%s&ssl_certfile=%s&ssl_keyfile=%s", cert, cert, key)
	p := start(t, parsed(t, "tls://%s%s", server.Address, all))
	q := start(t, parsed(t, "tls://%s%s", server.Address, all))
	p.follow("g")
	q.mustSend("g", "hi")
	p.awaits("hi")
	start(t, parsed(t, "tls://%s?ssl_ca_certs=%s", server.Address, cert)).awaitsState(false, "certificate")
	start(t, parsed(t, "tls://%s", server.Address)).awaitsState(false, "unknown authority")
	start(t, parsed(t, "nats://%s", server.Address)).awaitsState(false, "unknown authority")

	plain := parts.NATS(t, parts.NATSOptions{})
	start(t, parsed(t, "tls://%s%s", plain.Address, all)).awaitsState(false, "secure connection not available")
}

func TestTwoServersOfACluster(t *testing.T) {
	route := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return "nats://" + l.Addr().String()
	}
	one, two := route(), route()
	a := parts.NATS(t, parts.NATSOptions{Args: []string{"--cluster_name", "test", "--cluster", one, "--routes", two}})
	b := parts.NATS(t, parts.NATSOptions{Args: []string{"--cluster_name", "test", "--cluster", two, "--routes", one}})
	p := start(t, parsed(t, "nats://%s,%s", a.Address, b.Address)) // on either
	qa, qb := start(t, at(a)), start(t, at(b))
	p.follow("g")
	for _, q := range []*process{qa, qb} {
		parts.Eventually(t, "events cross the cluster", func() bool {
			q.mustSend("g", q.id)
			got := 0
			p.note(func() { got = strings.Count(strings.Join(p.got, " "), q.id) })
			return got > 0
		})
	}
	for _, s := range []*parts.NATSServer{a, b} {
		s.Stop()
		p.awaitsState(true, "")
		q, message := qb, "through b"
		if s == b {
			q, message = qa, "through a"
		}
		q.awaitsState(true, "") // perhaps it is on the other server as well: it has learned of it
		parts.Eventually(t, "events arrive", func() bool {
			_ = q.send("g", message)
			got := 0
			p.note(func() { got = strings.Count(strings.Join(p.got, " "), message) })
			return got > 0
		})
		s.Restart()
	}
}
