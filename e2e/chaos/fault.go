//go:build linux

package chaos

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/teahouse-chat/teahouse/e2e/chaos/network"
)

// begin lets a fault begin and returns what ends it. Both belong to the test's
// goroutine and may take a while.
func (o *Opening) begin(f Fault) (end func() error, err error) {
	n := o.node[f.Node]
	switch f.Kind {
	case Kill:
		n.kill()
		return o.revive(n), nil
	case Terminate:
		n.mark(false)
		if n.Alive() {
			n.Signal(syscall.SIGTERM)
		}
		return o.revive(n), nil
	case Freeze:
		return o.freeze(n), nil
	case RestartBroker, CrashBroker, FreezeBroker, FlushBroker:
		return o.breakBroker(f.Kind)
	case CrashDatabase:
		return nothing, o.hosts.database.Do(func() { o.postgres.Restart(syscall.SIGQUIT) })
	case StopDatabase:
		return nothing, o.hosts.database.Do(func() { o.postgres.Restart(syscall.SIGINT) })
	case EndSessions:
		_, err := o.postgres.Do("postgres", "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '"+o.database+"'")
		return nothing, err
	}
	return o.network.Break(o.rule(f, n.host))
}

func nothing() error { return nil }

// revive starts a node again that was ended, once it has ended.
func (o *Opening) revive(n *node) (end func() error) {
	return func() error {
		if n.running() {
			return nil // another fault has ended earlier
		}
		if n.Alive() {
			n.Signal(syscall.SIGCONT) // it may be frozen as well
		}
		if err := n.Wait(); err != nil && n.Alive() {
			n.Signal(syscall.SIGQUIT) // its log then says what it waits for
			_ = n.Wait()              // that it ends so is no news
			_, stacks, _ := strings.Cut(n.Log(), "SIGQUIT: quit")
			return fmt.Errorf("end %s: %w\n%s", n.name, err, stacks[:min(len(stacks), 8<<10)])
		}
		return n.begin()
	}
}

// freeze stops a node in what it does. One that does not run needs no such thing.
func (o *Opening) freeze(n *node) (end func() error) {
	if !n.running() {
		return nothing
	}
	pid := n.PID()
	n.Signal(syscall.SIGSTOP)
	return func() error {
		if n.Alive() && n.PID() == pid {
			n.Signal(syscall.SIGCONT)
		}
		return nil
	}
}

func (o *Opening) breakBroker(k Kind) (end func() error, err error) {
	b := &o.service
	if b.Alive() && k != FreezeBroker {
		b.Signal(syscall.SIGCONT) // what is frozen cannot be ended or asked
	}
	switch k {
	case RestartBroker:
		return nothing, o.hosts.broker.Do(b.restart)
	case CrashBroker:
		b.Kill()
		return func() error {
			if b.Alive() {
				return nil // another fault has restarted it
			}
			return o.hosts.broker.Do(b.restart)
		}, nil
	case FreezeBroker:
		if !b.Alive() {
			return nothing, nil
		}
		pid := b.PID()
		b.Signal(syscall.SIGSTOP)
		return func() error {
			if b.Alive() && b.PID() == pid {
				b.Signal(syscall.SIGCONT)
			}
			return nil
		}, nil
	}
	if b.flush == nil || !b.Alive() {
		return nothing, nil // nothing is kept
	}
	return nothing, b.flush()
}

// rule is what a fault of the network is.
func (o *Opening) rule(f Fault, n *network.Host) network.Rule {
	h := &o.hosts
	switch f.Kind {
	case CutDatabase:
		return network.Rule{From: n, To: h.database, Verdict: network.Drop, Mutual: true}
	case DeafDatabase:
		return network.Rule{From: n, To: h.database, Verdict: network.Drop}
	case MuteDatabase:
		return network.Rule{From: h.database, To: n, Verdict: network.Drop}
	case CutBroker:
		return network.Rule{From: n, To: h.broker, Verdict: network.Drop, Mutual: true}
	case MuteBroker:
		return network.Rule{From: h.broker, To: n, Verdict: network.Drop}
	case CutNodes:
		return network.Rule{From: n, To: h.nodes[(f.Node+1)%nodes], Verdict: network.Drop, Mutual: true}
	case CutPeople:
		return network.Rule{From: h.people, To: n, Verdict: network.Drop, Mutual: true}
	case MutePeople:
		return network.Rule{From: n, To: h.people, Verdict: network.Drop}
	case LossyDatabase:
		return network.Rule{From: n, To: h.database, Verdict: network.Lossy, Mutual: true}
	case LossyBroker:
		return network.Rule{From: n, To: h.broker, Verdict: network.Lossy, Mutual: true}
	case LossyPeople:
		return network.Rule{From: h.people, To: n, Verdict: network.Lossy, Mutual: true}
	case ResetDatabase:
		return network.Rule{From: n, To: h.database, Verdict: network.Reset, Mutual: true}
	case ResetBroker:
		return network.Rule{From: n, To: h.broker, Verdict: network.Reset, Mutual: true}
	case ResetPeople:
		return network.Rule{From: h.people, To: n, Verdict: network.Reset, Mutual: true}
	}
	panic("no fault of the network: " + string(f.Kind))
}
