package main

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	queue      = 1024 // messages that may wait for one socket; the one that lets more wait is cut
	pingPeriod = 54 * time.Second
)

// hubs are the rooms; they stay.
type hubs struct {
	mu     sync.Mutex
	byName map[string]*hub // guarded by mu
}

// hub is a room: one goroutine, which alone touches clients.
type hub struct {
	clients    map[*client]bool
	register   chan *client
	unregister chan *client
	broadcast  chan []byte
}

type client struct {
	conn *websocket.Conn
	send chan []byte // closed by the hub
}

func (h *hubs) find(name string) *hub {
	h.mu.Lock()
	defer h.mu.Unlock()
	if found := h.byName[name]; found != nil {
		return found
	}
	made := &hub{
		clients: make(map[*client]bool), register: make(chan *client),
		unregister: make(chan *client), broadcast: make(chan []byte, 256),
	}
	h.byName[name] = made
	go made.run() // ends with the process
	return made
}

func (h *hubs) serve(name string, conn *websocket.Conn) {
	room := h.find(name)
	c := &client{conn: conn, send: make(chan []byte, queue)}
	c.send <- joined
	room.register <- c
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.writeAll()
	}()
	readAll(conn, func(text []byte) { room.broadcast <- text })
	room.unregister <- c
	_ = conn.Close() // ends a write that hangs
	<-written
}

func (h *hub) run() {
	for {
		select {
		case c := <-h.register:
			h.clients[c] = true
		case c := <-h.unregister:
			h.cut(c)
		case text := <-h.broadcast:
			for c := range h.clients {
				select {
				case c.send <- text:
				default:
					h.cut(c)
				}
			}
		}
	}
}

func (h *hub) cut(c *client) {
	if h.clients[c] {
		delete(h.clients, c)
		close(c.send)
	}
}

// writeAll writes until the hub closes the channel or the socket fails. Either
// way the socket is closed, which ends its reader.
func (c *client) writeAll() {
	ping := time.NewTicker(pingPeriod)
	defer ping.Stop()
	defer func() { _ = c.conn.Close() }()
	for {
		select {
		case text, open := <-c.send:
			if !open || c.write(text) != nil {
				return
			}
		case <-ping.C:
			if c.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait)) != nil {
				return
			}
		}
	}
}

var lineFeed = []byte{'\n'}

// fullFrame is as much as is put together, so that a frame never outgrows the
// write buffer and becomes fragments.
const fullFrame = writeBuffer - maxPost - 1

// write sends text and what waits behind it as one frame.
func (c *client) write(text []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	w, err := c.conn.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	for size := len(text); size < fullFrame && len(c.send) > 0; {
		next, open := <-c.send
		if !open {
			break
		}
		if _, err := w.Write(lineFeed); err != nil {
			return err
		}
		if _, err := w.Write(next); err != nil {
			return err
		}
		size += len(lineFeed) + len(next)
	}
	return w.Close()
}
