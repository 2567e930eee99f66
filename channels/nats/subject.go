package nats

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/teahouse-chat/teahouse/channels"
)

// Subjects, behind the prefix.
const (
	subjectGroup   = ".g." // and the token of a group
	subjectQueue   = ".q." // and the token of a channel of no process
	subjectProcess = ".p." // and a process: all its channels
	subjectAll     = ".all"
)

const (
	maxToken   = 64 // bytes of a name that is a token as it stands
	keptOfName = 32 // bytes of other names, for people who look at subjects
)

// token makes one token of a subject of any text. A name of up to 64 ASCII
// letters, digits, hyphens and underscores is one as it stands. Others keep the
// beginning of what is legal, then an equals sign, which no plain token has, and
// 32 hexadecimal digits of their SHA-256: different names stay different.
func token(name string) string {
	if name != "" && len(name) <= maxToken && !strings.ContainsFunc(name, illegal) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name) && b.Len() < keptOfName; i++ {
		if !illegal(rune(name[i])) {
			b.WriteByte(name[i])
		}
	}
	sum := sha256.Sum256([]byte(name))
	b.WriteByte('=')
	b.WriteString(hex.EncodeToString(sum[:16]))
	return b.String()
}

// illegal says that a character is not one of a plain token.
func illegal(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
}

func legalPrefix(s string) bool {
	for t := range strings.SplitSeq(s, ".") {
		if t == "" || len(t) > maxToken || strings.ContainsFunc(t, illegal) {
			return false
		}
	}
	return true
}

// processOf is the process in a channel's name, or "" for a channel of none.
func processOf(channel string) (string, error) {
	owner, _, owned := strings.Cut(channel, "!")
	if !owned {
		return "", nil
	}
	process := owner[strings.LastIndexByte(owner, '.')+1:]
	if b, err := hex.DecodeString(process); err != nil || len(b) != processSize || process != strings.ToLower(process) {
		return "", fmt.Errorf("nats: %w: %.120q names no process", channels.ErrBadName, channel)
	}
	return process, nil
}
