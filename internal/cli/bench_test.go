package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/load"
)

func TestBenchTakesItsDefaultsFromTheScenario(t *testing.T) {
	f, err := parseBench([]string{"--members", "7", "http://127.0.0.1:1", "--scenario=idle", "--duration", "3s"})
	if err != nil {
		t.Fatal(err)
	}
	want := load.Default(load.Idle)
	if f.url != "http://127.0.0.1:1" || f.plan.Members != 7 || f.plan.Rooms != want.Rooms || f.plan.For != 3*time.Second {
		t.Errorf("got %+v", f)
	}
	if f.plan.Protocol.Name() != "rich" || !f.plan.Shared || f.server != -1 || f.loadCPU != -1 {
		t.Errorf("got %+v", f)
	}
	if f, err = parseBench([]string{"--scenario", "idle", "--connections", "95"}); err != nil || f.plan.Rooms != 9 || f.plan.Members != 10 {
		t.Errorf("95 connections are %d rooms of %d, %v", f.plan.Rooms, f.plan.Members, err)
	}
	if f, err = parseBench([]string{"--pin", "0,0", "--protocol=plain"}); err != nil || f.plan.Cores != 1 || !f.plan.Shared || f.plan.Protocol.Name() != "plain" {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestAMistakeInBenchIsOneSentence(t *testing.T) {
	outside := fmt.Sprintf("0,%d", runtime.NumCPU())
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"a misspelt flag":     {[]string{"--romos=1"}, "unknown flag --romos: did you mean --rooms?"},
		"an unknown flag":     {[]string{"--zzzzzzzz=1"}, "unknown flag --zzzzzzzz: teahouse help bench lists"},
		"not a number":        {[]string{"--rooms=x"}, `--rooms is "x": say a whole number`},
		"a time without unit": {[]string{"--duration", "5"}, `--duration is "5": say a time with its unit: 5s`},
		"no time":             {[]string{"--duration", "soon"}, `--duration is "soon": say a time with its unit, such as 10s`},
		"a switch with more":  {[]string{"--json=5"}, `--json is "5": say nothing`},
		"a flag without one":  {[]string{"--duration"}, `--duration has no value: write --duration VALUE`},
		"no name of a flag":   {[]string{"--=5"}, `a flag has no name: teahouse help bench lists`},
		"another scenario":    {[]string{"--scenario=tea"}, `--scenario is "tea": say one of capacity, fanout, rate, idle, connect, reconnect`},
		"nearly a scenario":   {[]string{"--scenario", "fanuot"}, `--scenario is "fanuot": did you mean fanout?`},
		"another protocol":    {[]string{"--protocol=tea"}, `--protocol is "tea": say rich or plain`},
		"too many rooms":      {[]string{"--rooms=1000000"}, "rooms is 1000000: say a number"},
		"two addresses":       {[]string{"http://a", "http://b"}, "bench takes one URL"},
		"a pid without a URL": {[]string{"--pid=1"}, "--pid belongs to a URL"},
		"half a pin":          {[]string{"--pin=0"}, `--pin is "0": say two processors`},
		"no such processor":   {[]string{"--pin", outside}, "say two processors from 0 to"},
		"positions in plain":  {[]string{"--scenario=reconnect", "--protocol=plain"}, "say --protocol rich"},
		"somebody else's":     {[]string{"http://192.0.2.1/"}, "192.0.2.1 is not this machine"},
		"TLS":                 {[]string{"https://127.0.0.1/"}, "say http://host:port"},
		"no address":          {[]string{"127.0.0.1:8080"}, "say http://host:port"},
		"a port too large":    {[]string{"http://127.0.0.1:99999"}, "has no port"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(nil, nil, append([]string{"bench"}, tt.args...)...)
			if r.code != exitUsage || r.stdout != "" || !strings.Contains(r.stderr, tt.want) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("exit code %d, says %q, want one line with %q", r.code, r.stderr, tt.want)
			}
		})
	}
}

func TestAServerElsewhereNeedsItsOwnersWord(t *testing.T) {
	f := benchFlags{url: "http://192.0.2.1:8080/", own: true}
	if err := f.resolve(); err != nil || f.plan.Address.String() != "192.0.2.1:8080" || f.plan.Host != "192.0.2.1:8080" {
		t.Errorf("got %v, %v", f.plan.Address, err)
	}
	for _, here := range []string{"http://127.0.0.9", "http://[::1]:80", "http://localhost:80"} {
		f := benchFlags{url: here}
		if err := f.resolve(); err != nil || f.plan.Address.Port() != 80 || !f.plan.Address.Addr().IsLoopback() {
			t.Errorf("%s is %v, %v", here, f.plan.Address, err)
		}
	}
}

func TestTheHelpOfBenchNamesEveryFlagAndScenario(t *testing.T) {
	text := benchText()
	f := benchFlags{plan: load.Default(load.Capacity)}
	f.define().VisitAll(func(fl *flag.Flag) {
		if fl.Name != "scenario" && !strings.Contains(text, "--"+fl.Name) {
			t.Errorf("it does not name --%s", fl.Name)
		}
	})
	for _, s := range load.Scenarios() {
		if !strings.Contains(text, "\n  "+s[0]+" ") {
			t.Errorf("it does not name %s", s[0])
		}
	}
	if r := run(nil, nil, "bench", "--help"); r.code != exitOK || r.stdout != text {
		t.Errorf("--help: exit code %d, says %q and %q", r.code, r.stdout, r.stderr)
	}
}

func TestProgressIsALineOnATerminalAndLinesElsewhere(t *testing.T) {
	var b bytes.Buffer
	shown := [][2]string{{"connecting", "connecting: 1"}, {"connecting", "connecting: 2"}, {"measuring", "measuring: 茶"}}
	plain := &progressLine{w: &b}
	for _, p := range shown {
		plain.say(p[0], p[1])
	}
	plain.end()
	if got := strings.Count(b.String(), "\n"); got != 2 || strings.Contains(b.String(), "\r") {
		t.Errorf("%d lines, want one for each thing done:\n%s", got, b.String())
	}
	b.Reset()
	line := &progressLine{w: &b, terminal: true}
	for _, p := range shown {
		line.say(p[0], p[1])
	}
	line.end()
	if strings.Contains(b.String(), "\n") || !strings.HasSuffix(b.String(), "\r") {
		t.Errorf("on a terminal: %q", b.String())
	}
}

func TestTheLastWordsOfAServerThatDoesNotStartAreTold(t *testing.T) {
	r := run(nil, nil, "bench", "--rooms=1", "--members=1")
	if r.code != exitFailed || !strings.Contains(r.stderr, "the server did not start: teahouse: nothing is served here") {
		t.Errorf("exit code %d, says %q", r.code, r.stderr)
	}
}

func TestAServerThatKeepsToItsLimitsIsExplained(t *testing.T) {
	for text, want := range map[string]bool{
		`the handshake was answered "HTTP/1.1 429 Too Many Requests"`: true,
		"5 times: refused: rate_limited":                              true,
		"3 deliveries never came":                                     false,
	} {
		if got := strings.Contains(advise(errors.New(text)).Error(), "--limits off"); got != want {
			t.Errorf("%q is explained: %v, want %v", text, got, want)
		}
	}
}
