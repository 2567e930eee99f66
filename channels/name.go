package channels

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// maxName bounds the names of groups and channels, in bytes: a room name of 64
// code points with any prefix a program may think of.
const maxName = 512

// checkName accepts any text of 1 to maxName bytes. Brokers with narrower rules
// map names by SafeName.
func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: the %s name is empty", ErrBadName, what)
	case len(name) > maxName:
		return fmt.Errorf("%w: the %s name has %d bytes, at most %d are allowed", ErrBadName, what, len(name), maxName)
	}
	return nil
}

// SafeName maps any text to a name that Django Channels accepts for a group:
// 1 to 99 ASCII letters, digits, hyphens, underscores or periods. Legal names
// are returned as they are. Others keep what is legal of their beginning,
// followed by a period and 32 hexadecimal digits of their SHA-256, so that
// different names stay different, with one exception: a legal name that looks
// like the result for another is returned as it is, since what comes out must
// stay the same when it goes in again. Where strangers choose names, refuse those
// that end with a period and 32 hexadecimal digits.
func SafeName(name string) string {
	if legalName(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	var b strings.Builder
	for i := 0; i < len(name) && b.Len() < 64; i++ {
		if legalByte(name[i]) {
			b.WriteByte(name[i])
		}
	}
	b.WriteByte('.')
	b.WriteString(hex.EncodeToString(sum[:16]))
	return b.String()
}

func legalName(name string) bool {
	if name == "" || len(name) >= 100 {
		return false
	}
	for i := range len(name) {
		if !legalByte(name[i]) {
			return false
		}
	}
	return true
}

func legalByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.'
}
