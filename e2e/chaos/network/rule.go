//go:build linux

package network

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Verdict is what becomes of packets.
type Verdict string

const (
	Drop  Verdict = "drop"                                       // nothing arrives
	Lossy Verdict = "numgen random mod 100 < 10 drop"            // one in ten does not arrive
	Reset Verdict = "tcp flags & rst == 0 reject with tcp reset" // who sends is told that there is no such connection
)

// Rule is what becomes of packets from one host to another, both ways if Mutual.
type Rule struct {
	From, To *Host
	Verdict  Verdict
	Mutual   bool
}

// active is a set of rules until it is lifted.
type active struct{ rules []Rule }

// Break lets rules begin, all at once, in addition to those that hold. Lift ends
// them; calling it again does nothing. Any goroutine may call them.
func (n *Network) Break(rules ...Rule) (lift func() error, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := &active{rules}
	n.rules = append(n.rules, a)
	if err := n.apply(); err != nil {
		return nil, err
	}
	return func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		before := len(n.rules)
		if n.rules = slices.DeleteFunc(n.rules, func(r *active) bool { return r == a }); len(n.rules) == before {
			return nil
		}
		return n.apply()
	}, nil
}

// Heal ends all rules.
func (n *Network) Heal() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules = nil
	return n.apply()
}

// apply gives each host the rules for what comes to it. The caller holds mu.
func (n *Network) apply() error {
	to := make(map[*Host][]string)
	for _, a := range n.rules {
		for _, r := range a.rules {
			to[r.To] = append(to[r.To], line(r.From, r.Verdict))
			if r.Mutual {
				to[r.From] = append(to[r.From], line(r.To, r.Verdict))
			}
		}
	}
	var errs []error
	for _, h := range n.hosts {
		// To add a table that is there changes nothing; to delete one that is not, fails.
		text := "add table ip faults\ndelete table ip faults\n"
		if lines := to[h]; len(lines) > 0 {
			text += "table ip faults {\n chain input {\n  type filter hook input priority 0;\n" + strings.Join(lines, "") + " }\n}\n"
		}
		var err error
		if doErr := h.Do(func() { err = run(text, "nft", "-f", "-") }); doErr != nil || err != nil {
			errs = append(errs, doErr, err)
		}
	}
	return errors.Join(errs...)
}

func line(from *Host, v Verdict) string { return fmt.Sprintf("  ip saddr %s %s\n", from.Address, v) }
