//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

// hasty is a connection on which nothing waits longer than patience, or than its
// own time.
type hasty struct {
	net.Conn
	patience time.Duration
}

const (
	sip  = 16 << 10
	gulp = 1 << 20
)

// drink is how many bytes the kernel keeps of what is not read.
func (h hasty) drink(size int) {
	if tcp, ok := h.Conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(size) // if not, it reads faster or slower
	}
}

func (h hasty) sooner(t time.Time) time.Time {
	if soon := time.Now().Add(h.patience); !t.IsZero() && t.After(soon) {
		return soon
	}
	return t
}

func (h hasty) SetDeadline(t time.Time) error      { return h.Conn.SetDeadline(h.sooner(t)) }
func (h hasty) SetReadDeadline(t time.Time) error  { return h.Conn.SetReadDeadline(h.sooner(t)) }
func (h hasty) SetWriteDeadline(t time.Time) error { return h.Conn.SetWriteDeadline(h.sooner(t)) }

// identity is who a client is: known from its first welcome on.
type identity struct{ id, token, epoch string }

// dial opens a socket to a node, says hello and reads the welcome.
func (o *Opening) dial(n *node, who identity, patience time.Duration) (*guest.Guest, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	nc, err := o.hosts.people.Dial(ctx, "tcp", n.address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", n.name, err)
	}
	sc, err := socket.Upgrade(hasty{nc, patience}, socket.Request(n.address, "/ws", "Sec-WebSocket-Protocol: "+wire.Subprotocol))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", n.name, err), nc.Close())
	}
	g := &guest.Guest{Conn: sc}
	if err = g.Say("", wire.Hello{Client: "chaos/1", Token: who.token, Epoch: who.epoch}); err == nil {
		g.Welcome, err = guest.Await[wire.Welcome](g)
	}
	if err == nil && who.id != "" && g.Welcome.You.ID != who.id {
		err = fmt.Errorf("%s was welcomed as %s", who.id, g.Welcome.You.ID)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("say hello to %s: %w", n.name, err), g.Close())
	}
	return g, nil
}

// enter is dial and joining rooms, without what is in them.
func (o *Opening) enter(n *node, who identity, rooms []string, patience time.Duration) (*guest.Guest, error) {
	g, err := o.dial(n, who, patience)
	if err != nil {
		return nil, err
	}
	for _, room := range rooms {
		if _, _, err := g.Join(wire.Join{Room: room, Limit: 1}); err != nil {
			return nil, errors.Join(fmt.Errorf("join %s at %s: %w", room, n.name, err), g.Close())
		}
	}
	return g, nil
}
