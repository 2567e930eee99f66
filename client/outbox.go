package client

import (
	"slices"
	"sync"
)

// Entry is a post that is not known to be stored.
type Entry struct {
	Room  string // canonical spelling
	Nonce string
	Text  string
}

// Outbox keeps entries in the order of Put. Give one that survives the process,
// together with Options.Token, to post after a crash what was posted before it.
// Its methods are called by one goroutine at a time and must not call the client.
type Outbox interface {
	// Put keeps an entry; Room.Post returns its error and sends nothing.
	Put(Entry) error
	// Remove forgets an entry; an unknown nonce is not an error.
	Remove(nonce string) error
	// Entries is what is kept, oldest first; Dial asks once.
	Entries() ([]Entry, error)
}

// Memory is an Outbox that lives as long as the process. Its zero value is ready.
type Memory struct {
	mu      sync.Mutex
	entries []Entry // guarded by mu
}

// Put implements Outbox.
func (m *Memory) Put(e Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, e)
	return nil
}

// Remove implements Outbox.
func (m *Memory) Remove(nonce string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = slices.DeleteFunc(m.entries, func(e Entry) bool { return e.Nonce == nonce })
	return nil
}

// Entries implements Outbox.
func (m *Memory) Entries() ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries), nil
}
