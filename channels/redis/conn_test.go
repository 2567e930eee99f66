package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

// hear sends an event from one process to another.
func hear(t *testing.T, o Options) {
	t.Helper()
	p, _ := pubsubProcess(t, o)
	q, _ := pubsubProcess(t, o)
	p.follow("g")
	if err := q.send("g", "x"); err != nil {
		t.Fatal(err)
	}
	p.awaits(said("g", "x"))
}

// layerOf reads a URL that may hold a parameter of the whole layer.
func layerOf(t *testing.T, url string) Options {
	t.Helper()
	o, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestWaysToAServer(t *testing.T) {
	dir := t.TempDir()
	makeCertificate(t, dir)
	port := freePort(t)
	server := parts.Redis(t, parts.RedisOptions{Args: []string{
		"--tls-port", port, "--tls-cert-file", dir + "/cert.pem", "--tls-key-file", dir + "/key.pem",
		"--tls-ca-cert-file", dir + "/cert.pem", "--tls-auth-clients", "optional",
	}})
	server.Must("ACL", "SETUSER", "tea", "on", ">p@ss/word", "~*", "&*", "+@all")
	for name, url := range map[string]string{
		"a socket":                 "unix+pubsub://" + server.Socket,
		"another database":         "redis+pubsub://" + server.Address + "/7",
		"a user with a password":   "redis+pubsub://tea:p%40ss%2Fword@" + server.Address,
		"TLS":                      "rediss+pubsub://localhost:" + port + "?ssl_ca_certs=" + dir + "/cert.pem",
		"TLS with a certificate":   "rediss+pubsub://localhost:" + port + "?ssl_ca_certs=" + dir + "/cert.pem&ssl_certfile=" + dir + "/cert.pem&ssl_keyfile=" + dir + "/key.pem",
		"a server once in TLS too": "redis+pubsub://" + server.Address + ",rediss+pubsub://localhost:" + port + "?ssl_ca_certs=" + dir + "/cert.pem",
	} {
		t.Run(name, func(t *testing.T) { hear(t, layerOf(t, url)) })
	}
	for name, url := range map[string]string{
		"a wrong password":             "redis+pubsub://tea:nosuch@" + server.Address,
		"a certificate nobody vouches": "rediss+pubsub://localhost:" + port,
		"a name not in it":             "rediss+pubsub://127.0.0.1:" + port + "?ssl_ca_certs=" + dir + "/cert.pem",
		"TLS with who speaks none":     "rediss+pubsub://" + server.Address,
	} {
		t.Run(name, func(t *testing.T) {
			p, b := pubsubProcess(t, layerOf(t, url))
			p.follow("g") // returns, as in an outage
			parts.Eventually(t, "the state says so", func() bool { return b.States()[0].Err != nil })
			if err := p.send("g", "x"); err == nil || strings.Contains(err.Error(), "nosuch") {
				t.Errorf("Publish: %v", err)
			}
			if strings.Contains(p.logged(), "nosuch") {
				t.Errorf("the log has the password: %s", p.logged())
			}
		})
	}
}

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

// makeCertificate writes cert.pem, for localhost and signed by itself, and key.pem.
func makeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert},
		"key.pem":  {Type: "EC PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
