// Package memstore is the reference chat.Store: everything in maps under one
// lock, gone when the process ends. It is what the suite storetest compares
// other stores with, and a store for tests that are about something else.
package memstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Store is a chat.Store in memory. Make it with New.
type Store struct {
	settings chat.Settings // fixed

	mu     sync.RWMutex
	closed bool
	rooms  map[string]*room
	users  map[chat.UserID]string // names
	logins map[[32]byte]login
}

type room struct {
	messages []message // seq 1 first
	lastAt   time.Time
	nonces   map[nonce]int64 // seq
	made     int             // order of making, for rooms of equal lastAt
}

type message struct {
	author chat.UserID
	nonce  string
	text   string
	at     time.Time
}

type nonce struct {
	author chat.UserID
	nonce  string
}

type login struct {
	user          chat.UserID
	created, seen time.Time
}

var errClosed = errors.New("memstore: closed")

// New returns an empty store with an epoch and a key of its own.
func New() *Store {
	var epoch [8]byte
	s := &Store{
		rooms:  make(map[string]*room),
		users:  make(map[chat.UserID]string),
		logins: make(map[[32]byte]login),
	}
	rand.Read(epoch[:])
	rand.Read(s.settings.Key[:])
	s.settings.Epoch = hex.EncodeToString(epoch[:])
	return s
}

// Append implements chat.Store.
func (s *Store) Append(ctx context.Context, batch []chat.Draft) ([]chat.Appended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	results := make([]chat.Appended, len(batch))
	for i := range batch {
		results[i] = s.append(&batch[i])
	}
	return results, nil
}

func (s *Store) append(d *chat.Draft) chat.Appended {
	r := s.rooms[d.Room]
	if r == nil {
		if !d.Create {
			return chat.Appended{Err: chat.ErrNoRoom}
		}
		r = &room{nonces: make(map[nonce]int64), made: len(s.rooms)}
		s.rooms[d.Room] = r
	}
	key := nonce{d.Author.ID, d.Nonce}
	if seq, ok := r.nonces[key]; ok {
		m := s.message(r, seq)
		if m.Text != d.Text {
			return chat.Appended{Err: chat.ErrNonceConflict}
		}
		return chat.Appended{Message: m, Duplicate: true}
	}
	if _, known := s.users[d.Author.ID]; !known {
		s.users[d.Author.ID] = d.Author.Name
		s.saveLogin(d.Author.ID, d.Login)
	}
	at := d.At.UTC().Truncate(time.Millisecond)
	if at.Before(r.lastAt) {
		at = r.lastAt
	}
	r.messages = append(r.messages, message{author: d.Author.ID, nonce: d.Nonce, text: d.Text, at: at})
	r.lastAt = at
	seq := int64(len(r.messages))
	r.nonces[key] = seq
	return chat.Appended{Message: s.message(r, seq)}
}

func (s *Store) message(r *room, seq int64) chat.Message {
	m := r.messages[seq-1]
	return chat.Message{
		Seq: seq, Author: chat.User{ID: m.author, Name: s.users[m.author]},
		Nonce: m.nonce, Text: m.text, At: m.at,
	}
}

// Messages implements chat.Store.
func (s *Store) Messages(ctx context.Context, slug string, r chat.Range) (chat.Page, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return chat.Page{}, err
	}
	rm := s.rooms[slug]
	if rm == nil {
		return chat.Page{First: true, Last: true}, nil
	}
	last := int64(len(rm.messages))
	from, to := span(r, last)
	p := chat.Page{First: from <= 1, Last: to > last, LastSeq: last}
	for seq := from; seq < to; seq++ {
		p.Messages = append(p.Messages, s.message(rm, seq))
	}
	return p, nil
}

// span is the half-open interval of seqs that r selects from 1 to last.
func span(r chat.Range, last int64) (from, to int64) {
	n := int64(r.Limit)
	end := last + 1
	switch {
	case r.Before >= 0:
		to = max(1, min(r.Before, end))
		return max(1, to-n), to
	case r.After >= 0:
		from = min(r.After, last) + 1
		return from, from + min(n, end-from)
	case r.Around >= 0:
		middle := max(1, min(r.Around, end))
		from = max(1, middle-n/2)
		to = min(end, from+n)
		return max(1, to-n), to
	}
	return max(1, end-n), end
}

// Find implements chat.Store.
func (s *Store) Find(ctx context.Context, slugs ...string) ([]chat.Room, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	var found []chat.Room
	for _, slug := range slugs {
		if r := s.rooms[slug]; r != nil {
			found = append(found, chat.Room{Slug: slug, LastSeq: int64(len(r.messages)), LastAt: r.lastAt})
		}
	}
	return found, nil
}

// Rooms implements chat.Store.
func (s *Store) Rooms(ctx context.Context, limit int) ([]chat.Room, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	var list []chat.Room
	for slug, r := range s.rooms {
		list = append(list, chat.Room{Slug: slug, LastSeq: int64(len(r.messages)), LastAt: r.lastAt})
	}
	slices.SortFunc(list, func(a, b chat.Room) int {
		return cmp.Or(b.LastAt.Compare(a.LastAt), cmp.Compare(s.rooms[b.Slug].made, s.rooms[a.Slug].made))
	})
	return list[:min(len(list), limit)], nil
}

// Login implements chat.Store.
func (s *Store) Login(ctx context.Context, hash [32]byte) (chat.Login, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return chat.Login{}, err
	}
	l, ok := s.logins[hash]
	if !ok {
		return chat.Login{}, chat.ErrNoLogin
	}
	u := chat.User{ID: l.user, Name: s.users[l.user]}
	return chat.Login{Hash: hash, User: u, Created: l.created, Seen: l.seen}, nil
}

// SaveUser implements chat.Store.
func (s *Store) SaveUser(ctx context.Context, u chat.User, l *chat.Login) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.users[u.ID] = u.Name
	s.saveLogin(u.ID, l)
	return nil
}

func (s *Store) saveLogin(user chat.UserID, l *chat.Login) {
	if l == nil {
		return
	}
	seen := l.Seen.UTC().Truncate(time.Millisecond)
	if known, ok := s.logins[l.Hash]; ok {
		if seen.After(known.seen) {
			known.seen = seen
			s.logins[l.Hash] = known
		}
		return
	}
	s.logins[l.Hash] = login{user: user, created: l.Created.UTC().Truncate(time.Millisecond), seen: seen}
}

// Settings implements chat.Store.
func (s *Store) Settings(ctx context.Context) (chat.Settings, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.settings, s.usable(ctx)
}

// Close implements chat.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}
	return nil
}
