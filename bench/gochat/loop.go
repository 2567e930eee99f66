package main

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// loops are the rooms; they stay.
type loops struct {
	mu     sync.Mutex
	byName map[string]*loop // guarded by mu
}

// loop is a room. Who posts holds mu while writing to everybody.
type loop struct {
	mu      sync.Mutex
	members []*websocket.Conn // guarded by mu
}

func (l *loops) find(name string) *loop {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName[name] == nil {
		l.byName[name] = new(loop)
	}
	return l.byName[name]
}

func (l *loops) serve(name string, conn *websocket.Conn) {
	room := l.find(name)
	room.join(conn)
	readAll(conn, room.post)
	room.leave(conn)
}

func (r *loop) join(conn *websocket.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, conn)
	r.write(conn, frameOf(joined))
}

func (r *loop) leave(conn *websocket.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.members, conn); i >= 0 {
		r.members = slices.Delete(r.members, i, i+1)
	}
}

func (r *loop) post(text []byte) {
	frame := frameOf(text)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.members {
		r.write(conn, frame)
	}
}

// write needs mu. A socket that fails is closed, and its reader takes it out.
func (r *loop) write(conn *websocket.Conn, frame []byte) {
	under := conn.NetConn()
	if under.SetWriteDeadline(time.Now().Add(writeWait)) != nil {
		return // it is closed
	}
	if _, err := under.Write(frame); err != nil {
		_ = conn.Close()
	}
}

// frameOf encodes one text frame of a server (RFC 6455, section 5.2), once for
// all members.
func frameOf(text []byte) []byte {
	head := []byte{0x81}
	if len(text) < 126 {
		head = append(head, byte(len(text)))
	} else {
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(len(text)))
	}
	return append(head, text...)
}
