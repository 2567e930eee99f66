package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// pipe is a link that any number of goroutines use at once. One goroutine
// writes: while one write is at work the next requests gather. Another reads
// always, so that a connection that is lost shows at once, and one where nothing
// happens is kept awake.
type pipe struct {
	// fixed
	link *link
	wake chan struct{} // holds 1: something waits
	gone chan struct{} // closed with err

	// guarded by mu
	mu      sync.Mutex
	waiting []*request // to be written
	sent    []*request // written, or being so, and not answered
	err     error      // why it is broken
}

// request is some commands that nothing comes between.
type request struct {
	// fixed
	ctx      context.Context // one that has ended is not sent any more
	commands []command
	done     chan struct{} // closed when the rest is set

	answers []any
	err     error
}

func newPipe(l *link) *pipe {
	return &pipe{link: l, wake: make(chan struct{}, 1), gone: make(chan struct{})}
}

func (p *pipe) broken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}

// add has commands sent behind those of earlier calls.
func (p *pipe) add(ctx context.Context, commands []command) (*request, error) {
	r := &request{ctx: ctx, commands: commands, done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	p.waiting = append(p.waiting, r)
	poke(p.wake)
	return r, nil
}

// wait is for the answers.
func (r *request) wait() ([]any, error) {
	select {
	case <-r.done:
		return r.answers, r.err
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

// write writes what waits, until the pipe is broken.
func (p *pipe) write() {
	quiet := time.NewTimer(pingAfter)
	defer quiet.Stop()
	for {
		select {
		case <-p.wake:
		case <-quiet.C:
			_, _ = p.add(context.Background(), []command{{"PING"}}) // nobody waits for the answer
		case <-p.gone:
			return
		}
		var err error
		for _, r := range p.take() {
			if err == nil {
				err = p.link.put(r.commands)
			}
		}
		if err == nil {
			err = p.link.send()
		}
		if err != nil {
			p.fail(err)
			return
		}
		quiet.Reset(pingAfter)
	}
}

// take is what waits, and will be answered in this order.
func (p *pipe) take() []*request {
	p.mu.Lock()
	defer p.mu.Unlock()
	batch := slices.DeleteFunc(p.waiting, func(r *request) bool { return r.ctx.Err() != nil })
	p.waiting = nil
	p.sent = append(p.sent, batch...)
	return batch
}

// read gives out the answers, until the pipe is broken.
func (p *pipe) read() {
	for {
		answer, err := p.link.receive()
		if err == nil {
			err = p.answer(answer)
		}
		if err != nil {
			p.fail(err)
			return
		}
	}
}

var errUnasked = errors.New("an answer that nothing was asked for")

func (p *pipe) answer(answer any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sent) == 0 {
		return errUnasked
	}
	r := p.sent[0]
	if r.answers = append(r.answers, answer); len(r.answers) == len(r.commands) {
		p.sent[0] = nil
		p.sent = p.sent[1:]
		close(r.done)
	}
	return nil
}

// fail ends the pipe, and all that wait.
func (p *pipe) fail(err error) {
	p.link.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = err
	close(p.gone)
	for _, r := range append(p.sent, p.waiting...) {
		r.err = err
		close(r.done)
	}
	p.sent, p.waiting = nil, nil
}
