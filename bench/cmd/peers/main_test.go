package main

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheListNamesScenariosAndPeers(t *testing.T) {
	var out, errs strings.Builder
	if err := run([]string{"-list", "-scenarios", "stuck"}, &out, &errs); err != nil {
		t.Fatal(err)
	}
	const want = "stuck        One room of 300, 1 % of the readers stuck, 8,000-byte texts\n" +
		"              teahouse-ram, 3 do not read\n              teahouse, 3 do not read\n"
	if out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestWrongFlagsAreSaidInASentence(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"a scenario that is not there": {[]string{"-scenarios", "x"}, `there is no scenario "x"`},
		"a peer that is not there":     {[]string{"-peers", "x"}, `there is no peer "x"`},
		"no rounds":                    {[]string{"-rounds", "0"}, "-rounds is at least 1"},
		"a processor too many":         {[]string{"-load-cpu", "4096"}, "this machine has processors 0 to"},
		"an argument":                  {[]string{"all"}, `unknown argument "all"`},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs strings.Builder
			err := run(tt.args, &out, &errs)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
