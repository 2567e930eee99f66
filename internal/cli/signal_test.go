package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/config"
)

// stubborn makes this test's binary a server that does not want to stop.
const stubborn = "CLI_TEST_STUBBORN"

func TestASecondSignalEndsTheProcessAtOnce(t *testing.T) {
	if os.Getenv(stubborn) != "" {
		p := program{stdout: os.Stdout, stderr: os.Stderr, serve: func(ctx context.Context, _ config.Config, out, _ io.Writer) error {
			fmt.Fprintln(out, "serving")
			<-ctx.Done()
			fmt.Fprintln(out, "stopping")
			time.Sleep(time.Minute) // longer than anybody waits
			return nil
		}}
		os.Exit(p.runCommand(nil))
	}

	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), stubborn+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"serving", "stopping"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the server says %q, want %q", lines.Text(), want)
		}
		if err := child.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for again := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-ended:
			again.Stop()
			status, ok := child.ProcessState.Sys().(syscall.WaitStatus)
			if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
				t.Errorf("it ended with %v, want the signal to have ended it", child.ProcessState)
			}
			return
		case <-again.C:
			// The handler gives the signals up a moment after the first one.
			_ = child.Process.Signal(syscall.SIGTERM)
		}
	}
}
