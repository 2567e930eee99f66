package chat

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
)

// crockford is the alphabet of Crockford's base 32 in lower case: no i, l, o, u.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

const userIDLen = 13 // 64 bits in base 32

// NewUserID returns a random id, never 0 and never negative.
func NewUserID() UserID {
	for {
		var b [8]byte
		rand.Read(b[:]) // never fails
		if id := UserID(binary.BigEndian.Uint64(b[:]) >> 1); id != 0 {
			return id
		}
	}
}

// BridgedID is the id of somebody who is known to another system by a name and
// speaks here through a bridge to it: the same for the same system and name. It
// is negative, which no guest's is, so nobody can be that person by signing in.
func BridgedID(system, name string) UserID {
	sum := sha256.Sum256([]byte("teahouse bridge\x00" + system + "\x00" + name))
	return UserID(binary.BigEndian.Uint64(sum[:8]) | 1<<63)
}

// Bridged tells whether the person speaks through a bridge.
func (id UserID) Bridged() bool { return id < 0 }

// String is the public form of the id: 13 characters of lower-case Crockford
// base 32, which sort as the ids do when these are not negative.
func (id UserID) String() string {
	var b [userIDLen]byte
	v := uint64(id)
	for i := userIDLen - 1; i >= 0; i-- {
		b[i] = crockford[v&31]
		v >>= 5
	}
	return string(b[:])
}

// ParseUserID reads what String wrote and nothing else: an id has one spelling.
func ParseUserID(s string) (UserID, error) {
	if len(s) != userIDLen || s[0] > 'f' { // 13 x 5 bits are one too many
		return 0, errBadUserID
	}
	var v uint64
	for i := 0; i < len(s); i++ {
		d := strings.IndexByte(crockford, s[i])
		if d < 0 {
			return 0, errBadUserID
		}
		v = v<<5 | uint64(d)
	}
	return UserID(v), nil
}

var errBadUserID = errors.New("not a user id: 13 characters of lower-case Crockford base 32")

// Tag is a short mark, four characters, that tells people of one name apart.
// Ids close to each other have unlike tags. It identifies nobody. The tags of
// bridged people begin with "via", which no other can: its i is not in the
// alphabet of tags.
func (id UserID) Tag() string {
	v := mix(uint64(id))
	if id.Bridged() {
		return "via" + crockford[v>>59:v>>59+1]
	}
	return string([]byte{crockford[v>>59], crockford[v>>54&31], crockford[v>>49&31], crockford[v>>44&31]})
}

// mix spreads v over 64 bits (the finaliser of SplitMix64).
func mix(v uint64) uint64 {
	v += 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}
