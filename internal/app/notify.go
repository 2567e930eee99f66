package app

import (
	"fmt"
	"log/slog"
	"net"
	"os"
)

// What a supervisor is told, see sd_notify(3).
const (
	notifyReady    = "READY=1"    // visitors are served
	notifyStopping = "STOPPING=1" // the orderly stop has begun
)

// notify tells the supervisor that started this process, where it asked for
// that, as systemd does for a service of Type=notify: then "systemctl restart"
// returns when visitors are served, and servers can be replaced one after the
// other. A supervisor that does not listen is logged, and nothing else.
func notify(log *slog.Logger, state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if err := send(path, state); err != nil {
		log.Warn("the supervisor was not told", "state", state, "err", err)
	}
}

// send writes one datagram to a Unix socket; a path that begins with @ is in
// Linux's abstract namespace, which package net knows.
func send(path, state string) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("reach NOTIFY_SOCKET: %w", err)
	}
	if _, err = c.Write([]byte(state)); err != nil {
		_ = c.Close() // the first error says more
		return fmt.Errorf("write to NOTIFY_SOCKET: %w", err)
	}
	return c.Close()
}
