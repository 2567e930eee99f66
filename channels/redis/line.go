package redis

import "sync"

// line hands over what is added to it in order, in batches: while one batch is
// at work the next collects. A goroutine exists only while there is work.
type line[T any] struct {
	// fixed
	work    func([]T)
	runners *sync.WaitGroup // of the owner, who waits

	// guarded by mu
	mu      sync.Mutex
	waiting []T
	running bool
	closed  bool
}

// add tells whether the line took x; one that is closed does not.
func (l *line[T]) add(x T) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.waiting = append(l.waiting, x)
	if !l.running {
		l.running = true
		l.runners.Go(l.run)
	}
	return true
}

// close lets nothing more in; what waits is still worked on.
func (l *line[T]) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

func (l *line[T]) run() {
	for {
		l.mu.Lock()
		batch := l.waiting
		l.waiting = nil
		l.running = len(batch) > 0
		l.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		l.work(batch)
	}
}
