package config

import (
	"fmt"
	"testing"
)

func TestTrustedProxiesAreNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1":               "[127.0.0.1/32]",
		"127.0.0.1, ::1":          "[127.0.0.1/32 ::1/128]",
		"10.0.0.0/24,fd00::/8":    "[10.0.0.0/24 fd00::/8]",
		"::ffff:10.0.0.5":         "[10.0.0.5/32]",
		"::ffff:10.0.0.0/104":     "[10.0.0.0/8]",
		"fe80::1%eth0":            "[fe80::1/128]",
		"2001:DB8:0:0::/64":       "[2001:db8::/64]",
		"":                        "[]",
		"192.168.0.0/16,10.0.0.1": "[192.168.0.0/16 10.0.0.1/32]",
	} {
		c, err := Load([]string{"--trusted-proxy", text}, []string{"TEAHOUSE_TRUSTED_PROXY=9.9.9.9"})
		if got := fmt.Sprint(c.TrustedProxies); got != want || err != nil {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
}
