package sqlstore

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// known is what a writing connection remembers of its database, so that a post
// needs hardly a look at what is stored: of each author in each room which nonces
// were surely never used and, where nobody else writes, where the logs of rooms end
// and what people are called. What others have stored in a room meanwhile is read
// under the lock of the room.
//
// It belongs to the transaction that has taken it from the connection, and comes
// back with the commit: what a transaction that failed has changed is forgotten
// with all else. Rooms and people that are not asked for leave it again.
type known struct {
	bound  int // of rooms, in bytes, about; of people and of a room's authors a part
	fileAt int // newest messages of a room, after which their nonces are filed
	rooms  recent[string, *knownRoom]
	names  recent[chat.UserID, string]
}

const knownBytes = 32 << 20

func newKnown() *known {
	return &known{
		bound: knownBytes, fileAt: fileAt,
		rooms: newRecent[string]((*knownRoom).weigh),
		names: newRecent[chat.UserID](func(name string) int { return len(name) }),
	}
}

// age forgets what was not asked for lately, when there is too much.
func (k *known) age() {
	k.rooms.age(k.bound)
	k.names.age(k.bound / 4)
}

// recent holds what was asked for lately, in two generations: when the young one
// is full it becomes the old one, which goes.
type recent[K comparable, V any] struct {
	weigh           func(V) int // its bytes, about
	young, old      map[K]V
	bytes, oldBytes int
}

const entryBytes = 64 // of a map, about

func newRecent[K comparable, V any](weigh func(V) int) recent[K, V] {
	return recent[K, V]{weigh: weigh, young: make(map[K]V)}
}

func (c *recent[K, V]) get(key K) (value V, ok bool) {
	if value, ok = c.young[key]; ok {
		return value, true
	}
	if value, ok = c.old[key]; ok {
		delete(c.old, key)
		c.put(key, value)
	}
	return value, ok
}

func (c *recent[K, V]) put(key K, value V) {
	c.forget(key)
	c.young[key] = value
	c.bytes += entryBytes + c.weigh(value)
}

func (c *recent[K, V]) forget(key K) {
	if value, ok := c.young[key]; ok {
		c.bytes -= entryBytes + c.weigh(value)
		delete(c.young, key)
	}
	delete(c.old, key)
}

func (c *recent[K, V]) age(bound int) {
	if c.bytes > bound {
		c.young, c.old = make(map[K]V), c.young
		c.bytes, c.oldBytes = 0, c.bytes
	}
}

// knownRoom is what is known of a room. Its newest messages are those that are
// not filed yet, see file: all of them are known.
type knownRoom struct {
	id, lastSeq, lastAt, filed int64

	broken error // why it takes no messages

	newest  []nonceOf                    // of message filed+1, filed+2, ...
	chunks  int                          // that these are in
	authors recent[chat.UserID, *filter] // of these all nonces are known
	weighed int
}

func newKnownRoom(id, filed int64) *knownRoom {
	return &knownRoom{id: id, lastSeq: filed, filed: filed, authors: newRecent[chat.UserID]((*filter).bytes)}
}

func (r *knownRoom) weigh() int {
	r.weighed = 512 + 16*cap(r.newest) + r.authors.bytes + r.authors.oldBytes
	return r.weighed
}

// grown is by how much a room is heavier than it was.
func (r *knownRoom) grown() int {
	before := r.weighed
	return r.weigh() - before
}

// nonceOf is who used a nonce, and its key.
type nonceOf struct {
	author chat.UserID
	key    uint64
}

// add remembers the nonce of the room's next message.
func (r *knownRoom) add(author chat.UserID, key uint64) {
	if f, known := r.authors.get(author); known {
		r.authors.bytes += f.add(key)
	}
	r.newest = append(r.newest, nonceOf{author, key})
	r.lastSeq++
}

// keyOf is eight bytes of a hash of a nonce: few enough to keep, and too many to
// find two nonces with one key by chance, or a third by trying. Two that have one
// are told apart by their messages.
func keyOf(nonce string) uint64 {
	sum := sha256.Sum256([]byte(nonce))
	return binary.BigEndian.Uint64(sum[:])
}

// filter tells of a key that it was surely not added, or perhaps was: a Bloom
// filter of 32 to 64 bits a key, in layers, each twice as large as the one before.
// Of keys that were not added, one in 10,000 is taken for one that was.
type filter struct {
	layers [][]uint64
	room   int // keys that the last layer can take
}

const (
	filterProbes = 8
	filterFirst  = 32 // keys in the first layer
)

// newFilter makes a filter that takes so many keys in its first layer.
func newFilter(keys int) *filter {
	f := new(filter)
	f.grow(keys)
	return f
}

func (f *filter) bytes() (n int) {
	for _, layer := range f.layers {
		n += 8 * len(layer)
	}
	return n
}

// grow adds a layer for at least so many keys.
func (f *filter) grow(keys int) (bytes int) {
	f.room = filterFirst
	for f.room < keys {
		f.room *= 2
	}
	f.layers = append(f.layers, make([]uint64, f.room/2)) // 32 bits a key
	return f.room * 4
}

// add adds a key, and tells by how many bytes the filter has grown for it.
func (f *filter) add(key uint64) (bytes int) {
	last := f.layers[len(f.layers)-1]
	if f.room == 0 {
		bytes = f.grow(4 * len(last))
		last = f.layers[len(f.layers)-1]
	}
	f.room--
	mask := uint64(len(last))*64 - 1
	for range filterProbes {
		last[key&mask>>6] |= 1 << (key & 63)
		key = nextProbe(key)
	}
	return bytes
}

// has tells whether a key was perhaps added.
func (f *filter) has(key uint64) bool {
	for _, layer := range f.layers {
		mask, bit, found := uint64(len(layer))*64-1, key, true
		for range filterProbes {
			if found = layer[bit&mask>>6]&(1<<(bit&63)) != 0; !found {
				break
			}
			bit = nextProbe(bit)
		}
		if found {
			return true
		}
	}
	return false
}

// nextProbe mixes a key for the next of its bits.
func nextProbe(key uint64) uint64 {
	key *= 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	return key ^ key>>32
}
