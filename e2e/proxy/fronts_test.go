package proxy_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// fronts are the proxies, and how each is started with its file of deploy/.
var fronts = []struct {
	name  string
	start func(s *site, dir string) *parts.Process
}{
	{"nginx", nginx},
	{"haproxy", haproxy},
	{"caddy", caddy},
}

// shared is what the servers of all sites have in common.
type shared struct {
	postgres *parts.PostgresServer
	nats     *parts.NATSServer
	chromium *chrome.Browser
}

// open starts two servers on one database, and a proxy in front of them.
func open(t *testing.T, both shared, front int) *site {
	t.Helper()
	f := fronts[front]
	dir := t.TempDir()
	port := freePort(t)
	s := &site{
		t: t, address: "127.0.0.1:" + port, plain: "127.0.0.1:" + freePort(t), host: name + ":" + port,
		base: "https://" + name + ":" + port, roots: certificate(t, dir), chromium: both.chromium,
	}
	both.postgres.Must("postgres", "CREATE DATABASE "+f.name)
	for i := range s.nodes {
		s.nodes[i] = server.Start(t, "--store", both.postgres.URL(f.name), "--layer", both.nats.URL(),
			"--base-url", s.base, "--trusted-proxy", "127.0.0.1", "--log-level", "debug")
	}
	s.proxy = f.start(s, dir)
	if err := s.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	c := s.browser("127.0.0.1", false)
	parts.Eventually(t, f.name+" serves", func() bool {
		res, _, err := s.try(c, http.MethodGet, "/readyz", "")
		return err == nil && res.StatusCode == http.StatusOK
	})
	return s
}

// port is the part of host:port behind the colon.
func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// nginx reads the file within what Debian's /etc/nginx/nginx.conf would be: one
// process, so that nothing is left behind when it is killed.
func nginx(s *site, dir string) *parts.Process {
	program := parts.Program(s.t, "nginx")
	write(s.t, filepath.Join(dir, "teahouse.conf"), deployed(s.t, "nginx.conf",
		"listen 443 ssl http2;", "listen "+s.address+" ssl http2;",
		"    listen [::]:443 ssl http2;\n", "",
		"listen 80;", "listen "+s.plain+";",
		"    listen [::]:80;\n", "",
		"/etc/letsencrypt/live/"+name+"/fullchain.pem", filepath.Join(dir, "cert.pem"),
		"/etc/letsencrypt/live/"+name+"/privkey.pem", filepath.Join(dir, "key.pem"),
		"127.0.0.1:8080", s.nodes[0].Address,
		"127.0.0.1:8081", s.nodes[1].Address,
	))
	main := "daemon off; master_process off; pid nginx.pid; error_log stderr info;\nevents {}\nhttp {\naccess_log off;\n"
	for _, folder := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += fmt.Sprintf("%s_temp_path %s;\n", folder, filepath.Join(dir, folder))
	}
	write(s.t, filepath.Join(dir, "nginx.conf"), main+"include "+filepath.Join(dir, "teahouse.conf")+";\n}\n")
	return parts.NewProcess(s.t, []string{program, "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf")}, nil)
}

func haproxy(s *site, dir string) *parts.Process {
	program := parts.Program(s.t, "haproxy")
	path := filepath.Join(dir, "haproxy.cfg")
	write(s.t, path, deployed(s.t, "haproxy.cfg",
		"bind :443", "bind "+s.address,
		"bind :80", "bind "+s.plain,
		"/etc/haproxy/certs/"+name+".pem", filepath.Join(dir, "both.pem"),
		"127.0.0.1:8080", s.nodes[0].Address,
		"127.0.0.1:8081", s.nodes[1].Address,
	))
	return parts.NewProcess(s.t, []string{program, "-db", "-f", path}, nil)
}

// caddy gets no certificate from elsewhere, and its ports from options in front
// of the file.
func caddy(s *site, dir string) *parts.Process {
	program := parts.Program(s.t, "caddy")
	path := filepath.Join(dir, "Caddyfile")
	options := fmt.Sprintf("{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\thttp_port %s\n\thttps_port %s\n\tstorage file_system %s\n}\n\n",
		port(s.plain), port(s.address), dir)
	write(s.t, path, options+deployed(s.t, "Caddyfile",
		"# tls /etc/caddy/"+name+".pem /etc/caddy/"+name+".key",
		"tls "+filepath.Join(dir, "cert.pem")+" "+filepath.Join(dir, "key.pem"),
		"127.0.0.1:8080", s.nodes[0].Address,
		"127.0.0.1:8081", s.nodes[1].Address,
	))
	return parts.NewProcess(s.t, []string{program, "run", "--config", path, "--adapter", "caddyfile"},
		[]string{"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "XDG_DATA_HOME=" + dir})
}
