package redis

import (
	"fmt"
	"strings"

	"github.com/teahouse-chat/teahouse/channels"
)

// names are the keys of a layer.
type names struct{ prefix string }

// group is the sorted set of a group's members.
func (n names) group(group string) string { return n.prefix + ":group:" + safe(group) }

// channel is the sorted set of what waits for a channel, or for all channels of
// a process: a name without what follows its exclamation mark.
func (n names) channel(name string) string { return n.prefix + name }

// processes is the sorted set of the Go processes of the layer.
func (n names) processes() string { return n.outside() + "processes" }

// list is the hash of the groups of a Go process, and its names in them.
func (n names) list(process string) string { return n.outside() + "groups:" + process }

// lease is who holds a lease.
func (n names) lease(name string) string { return n.outside() + "lease:" + name }

// outside is what our own keys begin with. It is not the prefix: flush of a Django
// process deletes every key that begins with that.
func (n names) outside() string {
	own := "teahouse:"
	if strings.HasPrefix(n.prefix, "t") {
		own = "channels:"
	}
	return own + n.prefix + ":"
}

// safe is the name of a group as Django writes it.
func safe(group string) string { return channels.SafeName(group) }

// checkChannel refuses names that would fail a Django process which finds them.
func checkChannel(name string) error {
	owner, local, owned := strings.Cut(name, "!")
	if owned && local == "" {
		local = "x" // it may be empty
	}
	if !owned {
		local = "x"
	}
	if len(name) > 99 || channels.SafeName(owner) != owner || channels.SafeName(local) != local {
		return fmt.Errorf("redis: %w: %.120q is not a channel that Django could know: up to 99 ASCII letters, digits, hyphens, "+
			"underscores, periods, and one exclamation mark", channels.ErrBadName, name)
	}
	return nil
}
