package doctor

import (
	"net/netip"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/config"
)

func TestSettingsThatAreStrangeTogetherAreFound(t *testing.T) {
	proxy := []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}
	for name, c := range map[string]struct {
		config config.Config
		about  string
		level  Level
		says   string
	}{
		"at home":                   {config.Config{}, "proxies", OK, "none"},
		"behind a proxy":            {config.Config{BaseURL: "https://chat.example.org", TrustedProxies: proxy}, "proxies", OK, "1 trusted"},
		"a proxy that is not known": {config.Config{BaseURL: "https://chat.example.org"}, "proxies", Warn, "--trusted-proxy"},
		"a proxy without a name":    {config.Config{TrustedProxies: proxy}, "proxies", Warn, "--base-url"},
		"no TLS":                    {config.Config{BaseURL: "http://chat.example.org"}, "proxies", Warn, "TLS"},
		"no TLS at home":            {config.Config{BaseURL: "http://192.168.1.2:8080"}, "proxies", OK, ""},
		"a site of one's own":       {config.Config{BaseURL: "https://a.example", Origins: []string{"https://b.example"}}, "origins", OK, "https://b.example"},
		"a site without TLS":        {config.Config{BaseURL: "https://a.example", Origins: []string{"http://b.example"}}, "origins", Warn, "http://b.example"},
		"without limits":            {config.Config{}, "limits", Warn, "benchmarks"},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, named(t, lookAtSettings(c.config), c.about), c.level, c.says)
		})
	}
	for _, f := range lookAtSettings(config.Default()) {
		expect(t, f, OK)
	}
}
