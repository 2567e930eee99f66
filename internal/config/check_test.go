package config

import (
	"strings"
	"testing"
)

func TestOperatorsHaveAnAddressOfTheirOwn(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{":8080", ":8080"}:                      true,
		{"localhost:8080", "localhost:8080"}:    true,
		{"localhost:8080", "127.0.0.1:08080"}:   true,
		{":8080", "localhost:8080"}:             true,
		{"[::]:8080", "10.0.0.5:8080"}:          true,
		{"0.0.0.0:8080", "10.0.0.5:8080"}:       true,
		{"chat.internal:80", "[::]:80"}:         true,
		{"[::ffff:10.0.0.5]:80", "10.0.0.5:80"}: true,
		{"localhost:8080", "[::1]:8080"}:        false,
		{"10.0.0.4:8080", "10.0.0.5:8080"}:      false,
		{":8080", ":9090"}:                      false,
		{":0", ":0"}:                            false,
		{"localhost:0", "localhost:0"}:          false,
	} {
		for _, p := range [][2]string{pair, {pair[1], pair[0]}} {
			_, err := Load([]string{"--listen", p[0], "--admin", p[1]}, nil)
			if got := err != nil && strings.Contains(err.Error(), "--admin is the address of --listen"); got != want {
				t.Errorf("%v: %v, want refused %v", p, err, want)
			}
		}
	}
}
