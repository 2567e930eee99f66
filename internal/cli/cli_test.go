package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/config"
)

// TestMain makes this binary, when bench starts it as a server, one that fails.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		fmt.Fprintln(os.Stderr, "teahouse: nothing is served here")
		os.Exit(exitFailed)
	}
	goleak.VerifyTestMain(m)
}

// result is what the world sees of one run.
type result struct {
	code           int
	stdout, stderr string
	served         *config.Config // nil when the server was not started
}

// run runs a command line with a server that ends at once with err.
func run(err error, env []string, args ...string) result {
	var r result
	var stdout, stderr bytes.Buffer
	p := program{
		env: env, stdout: &stdout, stderr: &stderr,
		serve: func(_ context.Context, c config.Config, _, _ io.Writer) error {
			r.served = &c
			return err
		},
	}
	r.code = p.runCommand(args)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

func TestServeIsTheDefaultCommand(t *testing.T) {
	for name, args := range map[string][]string{
		"nothing":             {},
		"only flags":          {"--listen", ":1"},
		"the command":         {"serve"},
		"the command and one": {"serve", "-listen=:1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(nil, []string{"TEAHOUSE_LISTEN=:1"}, args...)
			if r.code != exitOK || r.served == nil || r.stderr != "" {
				t.Fatalf("exit code %d, started %v, says %q", r.code, r.served != nil, r.stderr)
			}
			if r.served.Listen != ":1" {
				t.Errorf("it listens on %q, want :1", r.served.Listen)
			}
		})
	}
}

func TestAMistakeIsFoundBeforeAnythingStarts(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"an unknown command":         {[]string{"lobby"}, `teahouse: unknown command "lobby": say one of serve, doctor, backup, restore, migrate-store, bench, version, help`},
		"a misspelt command":         {[]string{"sevre"}, `teahouse: unknown command "sevre": did you mean serve?`},
		"help of an unknown command": {[]string{"help", "versoin"}, `did you mean version?`},
		"an unknown flag":            {[]string{"--lisen=:1"}, `teahouse: unknown flag --lisen: did you mean --listen?`},
		"a bad value":                {[]string{"serve", "--log-level=loud"}, `teahouse: --log-level is "loud": say debug, info, warn or error`},
		"an argument of version":     {[]string{"version", "x"}, `version takes no arguments`},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(nil, nil, tt.args...)
			if r.code != exitUsage || r.served != nil {
				t.Errorf("exit code %d, started %v, want %d and no start", r.code, r.served != nil, exitUsage)
			}
			if r.stdout != "" || !strings.Contains(r.stderr, tt.want) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("it says %q and %q, want one line with %q on the standard error", r.stdout, r.stderr, tt.want)
			}
		})
	}
}

func TestAFailureAtRunTimeIsOneSentenceAndExitCode1(t *testing.T) {
	r := run(errors.New("the port is taken: choose another with --listen"), nil)
	if r.code != exitFailed || r.stderr != "teahouse: the port is taken: choose another with --listen\n" {
		t.Errorf("exit code %d, says %q", r.code, r.stderr)
	}
}

func TestAWrongSettingThatTheServerFindsIsExitCode2(t *testing.T) {
	wrong := fmt.Errorf("open the layer: %w", &config.Wrong{Err: errors.New("the creds are broken")})
	for _, err := range []error{wrong, errors.Join(wrong, errors.New("close the store: full"))} {
		if r := run(err, nil); r.code != exitUsage || !strings.HasPrefix(r.stderr, "teahouse: open the layer: the creds are broken") {
			t.Errorf("exit code %d, says %q", r.code, r.stderr)
		}
	}
}

func TestSeveralFailuresAreOneLine(t *testing.T) {
	r := run(errors.Join(errors.New("close the sockets: late"), errors.New("close the store: full")), nil)
	if r.stderr != "teahouse: close the sockets: late; close the store: full\n" {
		t.Errorf("it says %q", r.stderr)
	}
}

func TestHelpGoesToTheStandardOutput(t *testing.T) {
	for args, want := range map[string]string{
		"help":         "Commands:\n  serve ",
		"--help":       "Commands:\n  serve ",
		"-h":           "Commands:\n  serve ",
		"help help":    "Commands:\n  serve ",
		"help serve":   "a second signal ends it at\nonce",
		"serve --help": "Exit codes: 0 after an orderly stop",
		"serve -h":     "--log-level LEVEL\n",
		"help version": "teahouse version\n",
	} {
		t.Run(args, func(t *testing.T) {
			r := run(nil, nil, strings.Fields(args)...)
			if r.code != exitOK || r.stderr != "" || r.served != nil || !strings.Contains(r.stdout, want) {
				t.Errorf("exit code %d, says %q and %q, want %q", r.code, r.stdout, r.stderr, want)
			}
		})
	}
}

func TestASignalEndsTheContextOfTheServer(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			p := program{stdout: io.Discard, stderr: io.Discard, serve: func(ctx context.Context, _ config.Config, _, _ io.Writer) error {
				self, err := os.FindProcess(os.Getpid())
				if err != nil {
					return err
				}
				if err := self.Signal(signal); err != nil {
					return err
				}
				<-ctx.Done()
				return nil
			}}
			if code := p.runCommand(nil); code != exitOK {
				t.Errorf("exit code %d, want %d", code, exitOK)
			}
		})
	}
}

func TestVersionTellsWhatItWasBuiltFrom(t *testing.T) {
	for _, args := range []string{"version", "--version"} {
		r := run(nil, nil, args)
		if r.code != exitOK || !strings.HasPrefix(r.stdout, "teahouse ") || !strings.Contains(r.stdout, runtime.Version()) {
			t.Errorf("%s: exit code %d, says %q", args, r.code, r.stdout)
		}
	}
	build := &debug.BuildInfo{
		Main:     debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}},
	}
	if got := versionOf(build); !strings.HasPrefix(got, "teahouse v1.2.3\n") || !strings.HasSuffix(got, "\ncommit abc with local changes\n") {
		t.Errorf("versionOf(v1.2.3 at abc, modified) = %q", got)
	}
	if got := versionOf(&debug.BuildInfo{}); !strings.HasPrefix(got, "teahouse (devel)\n") || !strings.HasSuffix(got, "\ncommit unknown\n") {
		t.Errorf("versionOf(nothing known) = %q", got)
	}
}
