package doctor

import (
	"net"
	"net/url"
	"strings"

	"github.com/teahouse-chat/teahouse/internal/config"
)

// lookAtSettings finds those that are valid each, and strange together.
func lookAtSettings(c config.Config) []Finding {
	findings := []Finding{judgeProxies(c), judgeOrigins(c)}
	if !c.Limits {
		findings = append(findings, found("limits", "off").warn("anybody can take as much as they like: leave --limits out, it is for benchmarks"))
	}
	return findings
}

// judgeProxies knows that a server without TLS of its own, whose address is
// https, stands behind somebody who has it.
func judgeProxies(c config.Config) Finding {
	switch behind := strings.HasPrefix(c.BaseURL, "https:"); {
	case len(c.TrustedProxies) > 0 && c.BaseURL == "":
		return found("proxies", "trusted ones, and no public address").warn("say --base-url too: requests for a name that is not this server's are refused")
	case len(c.TrustedProxies) > 0:
		return found("proxies", "%d trusted", len(c.TrustedProxies))
	case behind:
		return found("proxies", "none is trusted, but https says that there is one").
			warn("all visitors count as one, the proxy, and share the limits of one address: say --trusted-proxy and its address")
	}
	if u, err := url.Parse(c.BaseURL); err == nil && c.BaseURL != "" && !near(u.Hostname()) {
		return found("proxies", "none, and people come by http").
			warn("everybody on the way can read along: put a proxy with TLS before it, docs/operations.md has examples")
	}
	return found("proxies", "none")
}

func judgeOrigins(c config.Config) Finding {
	f := found("origins", "this server's own")
	if len(c.Origins) > 0 {
		f = found("origins", "this server's own and %s", strings.Join(c.Origins, ", "))
	}
	for _, o := range c.Origins {
		u, err := url.Parse(o)
		if err == nil && u.Scheme == "http" && !near(u.Hostname()) && strings.HasPrefix(c.BaseURL, "https:") {
			f = f.warn("who is on the way to %s can speak as its visitors: serve it by https", o)
		}
	}
	return f
}

// near says that nobody stands between this machine, or its own network, and a
// host.
func near(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && (ip.IsLoopback() || ip.IsPrivate())
}
