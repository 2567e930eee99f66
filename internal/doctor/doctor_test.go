package doctor

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings are the defaults with a data folder, and addresses, of their own.
func settings(t *testing.T) config.Config {
	t.Helper()
	c := config.Default()
	c.Data, c.Listen = t.TempDir(), "127.0.0.1:0"
	return c
}

// named is the finding of a name; there has to be one.
func named(t *testing.T, findings []Finding, name string) Finding {
	t.Helper()
	for _, f := range findings {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("nothing was found about %s: %+v", name, findings)
	return Finding{}
}

// expect wants a level, and texts in what was found or in what to do.
func expect(t *testing.T, f Finding, level Level, texts ...string) {
	t.Helper()
	if f.Level != level || (f.Do == "") != (level == OK) {
		t.Errorf("%s is %v: %s -> %s; want %v", f.Name, f.Level, f.Found, f.Do, level)
	}
	for _, text := range texts {
		if !strings.Contains(f.Found+" -> "+f.Do, text) {
			t.Errorf("%s: %s -> %s; want %q in it", f.Name, f.Found, f.Do, text)
		}
	}
}

func TestTheFirstStartOnAGoodMachineFailsNothing(t *testing.T) {
	findings := Examine(t.Context(), Options{Config: settings(t)})
	for _, name := range []string{"processors", "data folder", "disk latency", "store", "layer", "address", "proxies", "origins"} {
		expect(t, named(t, findings, name), OK)
	}
	if named(t, findings, "clock").Level == Fail || Worst(findings) == Fail {
		t.Errorf("something fails: %+v", findings)
	}
}

func TestACheckThatHangsIsAFindingAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		start := time.Now()
		findings := run(t.Context(), []check{
			{"disk", within, func(context.Context) []Finding { <-hang; return nil }},
			{"layer", within, func(ctx context.Context) []Finding {
				<-ctx.Done()
				return []Finding{found("layer", "%v", ctx.Err())}
			}},
			{"store", within, func(context.Context) []Finding { return []Finding{found("store", "good")} }},
		})
		if took := time.Since(start); took != within {
			t.Errorf("it took %v, want %v", took, within)
		}
		want := []Finding{
			{Fail, "disk", "no answer within 5s", "find out what hangs: a disk, a network, a name server"},
			{OK, "layer", "context deadline exceeded", ""},
			{OK, "store", "good", ""},
		}
		if diff := cmp.Diff(want, findings); diff != "" {
			t.Error(diff)
		}
		close(hang)
	})
}

func TestTheReportIsForPeopleAndForMachines(t *testing.T) {
	findings := []Finding{
		found("disk space", "12 GiB free"),
		found("clock", "two\nlines.").warn("set <it>"),
	}
	for name, tt := range map[string]struct {
		write func(*bytes.Buffer) error
		want  string
	}{
		"people": {func(b *bytes.Buffer) error { return Write(b, findings) }, `ok    disk space  12 GiB free
warn  clock       two lines
      -> set <it>
`},
		"machines": {func(b *bytes.Buffer) error { return WriteJSON(b, findings) }, `{
  "level": "warn",
  "findings": [
    {
      "level": "ok",
      "name": "disk space",
      "found": "12 GiB free"
    },
    {
      "level": "warn",
      "name": "clock",
      "found": "two lines",
      "do": "set <it>"
    }
  ]
}
`},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := tt.write(&b); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
	if err := Write(full{}, findings); !errors.Is(err, errFull) {
		t.Errorf("a report that cannot be written: %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAFindingKeepsItsWorstLevel(t *testing.T) {
	f := found("x", "y").fail("do this").warn("do that")
	expect(t, f, Fail, "do this")
	if Worst(nil) != OK || Worst([]Finding{found("x", "y"), f}) != Fail {
		t.Error("the worst is another")
	}
}
