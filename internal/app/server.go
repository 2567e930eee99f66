package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// server is one listener with its HTTP server.
type server struct {
	http  *http.Server
	ended chan struct{} // closed when Serve has returned
	err   error         // of Serve; valid after ended
}

// serve starts to answer on l.
func (a *app) serve(l net.Listener, h http.Handler) *server {
	s := &server{ended: make(chan struct{})}
	s.http = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second, // streams lift it for themselves
		WriteTimeout:      60 * time.Second, // streams set their own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return a.streams },
		ConnState:         watchHeads,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.ended)
		s.err = s.http.Serve(&listener{Listener: l, full: a.tellFull})
	}()
	return s
}

// wait returns when the server has ended, with why.
func (s *server) wait() error {
	<-s.ended
	return s.err
}

// stop ends servers that have not served anybody yet.
func stop(servers []*server) error {
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.http.Close())
		_ = s.wait()
	}
	return errors.Join(errs...)
}

// listenError says in one sentence why an address cannot be had and what to do.
func listenError(address, setting string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program: stop it, or choose another port with %s", address, setting)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s needs more rights: choose a port from 1024 up with %s", address, setting)
	case noFiles(err):
		return fmt.Errorf("cannot listen on %s, for no more files may be open at once: %s", address, raiseFiles)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is not an address of this machine: choose another with %s", address, setting)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("cannot listen on %s: choose another address with %s: %w", address, setting, err)
}
