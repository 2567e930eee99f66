package redis

import (
	"fmt"
	"strings"
	"testing"
)

func TestNamesAreDealtToHostsAsUpstreamDoes(t *testing.T) {
	const channel = "specific.0123456789abcdef0123456789abcdef!"
	hosts := []int{2, 3, 4, 5, 7, 10}
	for name, want := range map[string]string{
		"key_one":                  "[1 2 2 3 4 6]",
		"key_two":                  "[0 1 1 2 3 4]",
		"chat_lobby":               "[1 1 2 2 3 5]",
		"chat_room-1":              "[1 2 3 4 6 9]",
		"asgi__group__chat_lobby":  "[0 0 0 0 0 0]",
		"asgi__group__chat_room-1": "[1 2 3 4 6 9]",
		channel:                    "[0 1 1 1 2 3]",
		channel + "fedcba9876543210fedcba9876543210":    "[0 1 1 1 2 3]",
		channel + strings.Repeat("0", 32):               "[1 1 2 3 4 6]",
		"asgispecific.0123456789abcdef0123456789abcdef": "[0 1 1 1 2 3]",
		"thumbnails-generate":                           "[0 1 1 1 2 3]",
		"é":                                             "[1 2 3 4 5 8]",
	} {
		var got []int
		for _, n := range hosts {
			got = append(got, shard(name, n))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s on %v hosts: %v, want %s", name, hosts, got, want)
		}
		if got := shard(name, 1); got != 0 {
			t.Errorf("%s on one host: %d", name, got)
		}
	}
	// CRC 8dfd8800, whose lowest bits are 2048: where the integer shortcut differs.
	if got := shard("k852", 186); got != 92 {
		t.Errorf("k852 on 186 hosts: %d, want 92", got)
	}
}
