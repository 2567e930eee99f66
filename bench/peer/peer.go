package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/teahouse-chat/teahouse/internal/load"
)

// Peer is one server that can be measured, with its tuning.
type Peer struct {
	Name     string // on the command line and in results
	Title    string // in reports
	About    string // what it is and how it is tuned, in sentences
	Protocol load.Protocol
	Slow     int // posts in flight per poster at the most, in rooms of up to 1,000, so that a run ends; 0 is no bound

	needs   []need
	version func(context.Context, *Workshop) string
	build   func(context.Context, *Workshop) error          // nil is nothing to build
	command func(w *Workshop, port, folder string) []string // the program and its arguments
	dir     string                                          // to run in, below the module; empty is the caller's
	env     []string                                        // added to the caller's
	inRAM   bool                                            // its folder is on a file system in memory
	admin   bool                                            // it takes --admin, as Teahouse does
	rings   bool                                            // it writes through io_uring, past the kernel's count of writes
}

// need is a file that must be there, and the Debian package it comes from.
type need struct{ file, debian string }

// ErrMissing is wrapped by Build when something must be installed first.
var ErrMissing = errors.New("not installed")

// Workshop is where peers are built.
type Workshop struct {
	Module string // folder of this module
	Dir    string // for programs and the folders of servers; the caller's to remove
}

// NewWorkshop makes a temporary folder to build in. module is the folder of this
// module.
func NewWorkshop(module string) (*Workshop, error) {
	absolute, err := filepath.Abs(module)
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	if _, err := os.Stat(filepath.Join(absolute, "limit", "limit.c")); err != nil {
		return nil, fmt.Errorf("%s is not the folder of the module bench: %w", module, err)
	}
	dir, err := os.MkdirTemp("", "teahouse-peers-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to build in: %w", err)
	}
	return &Workshop{Module: absolute, Dir: dir}, nil
}

// Close removes all that was built and written.
func (w *Workshop) Close() error { return os.RemoveAll(w.Dir) }

func (w *Workshop) program(name string) string { return filepath.Join(w.Dir, name) }

// run runs a program to its end, in a folder below the module.
func (w *Workshop) run(ctx context.Context, dir string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir = filepath.Join(w.Module, dir)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// Build makes the peer ready to be started. Without what it needs the error
// wraps ErrMissing and names the package.
func (p Peer) Build(ctx context.Context, w *Workshop) error {
	for _, n := range p.needs {
		file := n.file
		if !filepath.IsAbs(file) {
			if found, err := exec.LookPath(file); err == nil {
				file = found
			}
		}
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("%s needs the Debian package %s: %w", p.Name, n.debian, ErrMissing)
		}
	}
	if p.build == nil {
		return nil
	}
	if err := p.build(ctx, w); err != nil {
		return fmt.Errorf("build %s: %w", p.Name, err)
	}
	return nil
}

// Version is what the peer is built from, for the report.
func (p Peer) Version(ctx context.Context, w *Workshop) string { return p.version(ctx, w) }

// goBuild builds a Go program, once in a workshop, so that peers that share it
// are the same bytes. dir is relative to the module.
func goBuild(dir, pkg, name string) func(context.Context, *Workshop) error {
	return func(ctx context.Context, w *Workshop) error {
		if _, err := os.Stat(w.program(name)); err == nil {
			return nil
		}
		_, err := w.run(ctx, dir, "go", "build", "-trimpath", "-o", w.program(name), pkg)
		return err
	}
}

// asks makes a version of what a command says, or says that it cannot.
func asks(dir string, args ...string) func(context.Context, *Workshop) string {
	return func(ctx context.Context, w *Workshop) string {
		out, err := w.run(ctx, dir, args...)
		if err != nil {
			return "version unknown"
		}
		return strings.Join(strings.Fields(out), " ")
	}
}
