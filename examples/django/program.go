package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// patience is how long a program may take to start, or to stop.
const patience = 15 * time.Second

// program is a server to run, and the address at which it will answer.
type program struct {
	address string
	argv    []string
	env     []string // besides ours
}

// child is a program that runs.
type child struct {
	command *exec.Cmd
	gone    chan struct{} // closed when it has ended
}

// start starts a program and waits until it answers. Its end goes to ended.
func (p program) start(ctx context.Context, ended chan<- error) (*child, error) {
	c := &child{command: exec.Command(p.argv[0], p.argv[1:]...), gone: make(chan struct{})}
	c.command.Env = append(os.Environ(), p.env...)
	c.command.Stderr = os.Stderr // what they say by the way on standard output is not for here
	if err := c.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.argv[0], err)
	}
	go func() { // ends with the program; stop waits for it
		_ = c.command.Wait() // its state says the same
		ended <- fmt.Errorf("%s has ended: %s", p.argv[0], c.command.ProcessState)
		close(c.gone)
	}()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", p.address)
		if err == nil {
			return c, conn.Close()
		}
		select {
		case <-c.gone:
			return nil, fmt.Errorf("%s did not start", p.argv[0])
		case <-ctx.Done():
			c.stop()
			return nil, ctx.Err()
		default:
		}
		if time.Now().After(deadline) {
			c.stop()
			return nil, fmt.Errorf("%s did not answer at %s: %w", p.argv[0], p.address, err)
		}
	}
}

// stop has the program end, and ends it if it does not.
func (c *child) stop() {
	_ = c.command.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-c.gone:
	case <-time.After(patience):
		_ = c.command.Process.Kill()
		<-c.gone
	}
}
