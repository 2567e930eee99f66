package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/examples/internal/stage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// visitor is somebody who looks at the page, until they leave.
type visitor struct {
	t     *testing.T
	lines *bufio.Scanner
	leave context.CancelFunc
}

func visit(t *testing.T, address string) *visitor {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+address+"/visitors", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return &visitor{t, bufio.NewScanner(res.Body), leave}
}

// sees reads until a number is shown; others may come before it.
func (v *visitor) sees(n int) {
	v.t.Helper()
	want := fmt.Sprintf("data: %d", n)
	for v.lines.Scan() {
		if v.lines.Text() == want {
			return
		}
	}
	v.t.Fatalf("the stream ended before %d was shown: %v", n, v.lines.Err())
}

func TestEverybodySeesHowManyAreThereWhileTheyComeAndGo(t *testing.T) {
	address, _ := stage.Serve(t, stage.Build(t, "counter"))
	if status, page := stage.Get(t, "http://"+address+"/"); status != 200 || !strings.Contains(page, "EventSource('/visitors')") {
		t.Errorf("the page is %d %s", status, page)
	}
	ann := visit(t, address)
	ann.sees(1)
	bob, eve := visit(t, address), visit(t, address)
	for _, v := range []*visitor{ann, bob, eve} {
		v.sees(3)
	}
	eve.leave()
	ann.sees(2)
	bob.leave()
	ann.sees(1)
}
