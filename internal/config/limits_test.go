package config

import (
	"strings"
	"testing"
)

func TestLimitsAreOnOffOrSoManyTimesWiderForAnAddress(t *testing.T) {
	for text, want := range map[string]struct {
		on    bool
		times int
	}{
		"on": {true, 1}, "true": {true, 1}, "off": {false, 1}, "false": {false, 1},
		"2": {true, 2}, "10": {true, 10}, "1000": {true, 1000},
	} {
		c, err := Load([]string{"--limits=" + text}, []string{"TEAHOUSE_LIMITS=7"})
		if err != nil || c.Limits != want.on || c.PerAddress != want.times {
			t.Errorf("%s: %v, %d, %v; want %v", text, c.Limits, c.PerAddress, err, want)
		}
	}
	if c, err := Load([]string{"--config", write(t, "limits = 5")}, nil); err != nil || !c.Limits || c.PerAddress != 5 {
		t.Errorf("a number in a file: %v, %d, %v", c.Limits, c.PerAddress, err)
	}
	for _, text := range []string{"", "0", "1", "1001", "-2", "1.5", "10x", "99999999999999999999"} {
		_, err := Load(nil, []string{"TEAHOUSE_LIMITS=" + text})
		if err == nil || !strings.Contains(err.Error(), "say on, off, or a whole number from 2 to 1000") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
