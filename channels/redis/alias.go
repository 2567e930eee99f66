package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// A process is a member of a group under one name, its alias, however many of
// its connections are: entries carry the names of their receivers and not that
// of the group, so the alias also tells which group an event was sent to.
//
// The local part of an alias follows from the group alone. So no alias ever
// stands for two groups, and an event that comes late cannot reach the wrong one.

const (
	aliasNamed  = "g." // followed by the group
	aliasHashed = "h." // followed by 32 hexadecimal digits of its SHA-256
	maxAlias    = 99 - len("specific.!") - 32
)

// alias is the local part of the channel by which a process follows a group.
func alias(group string) string {
	if len(aliasNamed)+len(group) <= maxAlias && channels.SafeName(group) == group {
		return aliasNamed + group
	}
	sum := sha256.Sum256([]byte(group))
	return aliasHashed + hex.EncodeToString(sum[:16])
}

// aliases are the groups a process follows, by the local parts of their aliases.
type aliases struct {
	// guarded by mu
	mu     sync.RWMutex
	groups map[string]string
	left   map[string]time.Time // aliases of groups that are not followed any more, and since when
}

func (a *aliases) add(group string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.groups[alias(group)] = group
}

// remove ends what add began; known tells that others may have sent to the alias.
func (a *aliases) remove(group string, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	local := alias(group)
	delete(a.groups, local)
	if known {
		a.left[local] = time.Now()
	}
}

// forget lets go of what was left so long ago that nothing can come any more.
func (a *aliases) forget(before time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.left, func(_ string, at time.Time) bool { return at.Before(before) })
}

// group finds what a local part stands for. That of a group which is not
// followed any more is an alias too, of no group.
func (a *aliases) group(local string) (group string, isAlias bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if group, isAlias = a.groups[local]; isAlias {
		return group, true
	}
	_, isAlias = a.left[local]
	return "", isAlias
}
