package config

import (
	"testing"
	"time"
)

func TestAStopTakesAsLongAsItIsToldOrAsTheStoreIsFor(t *testing.T) {
	for _, c := range []struct {
		args []string
		want time.Duration
	}{
		{nil, 0},
		{[]string{"--store", "postgres://host/name"}, 4 * time.Second},
		{[]string{"--store", "postgres://host/name", "--drain=0s"}, 0},
		{[]string{"--drain=1m30s"}, 90 * time.Second},
		{[]string{"--store", "postgresql://host/name", "--drain", "auto"}, 4 * time.Second},
	} {
		got, err := Load(c.args, nil)
		if err != nil || got.DrainTime() != c.want {
			t.Errorf("%q: %v, %v; want %v", c.args, got.DrainTime(), err, c.want)
		}
	}
}
