package redis

import (
	"math"
	"strconv"
	"sync"
	"time"
)

// clock tells the time of one host and gives out the scores of what is written
// there. Others drop what is older than the expiry by clocks of their own, so
// a process whose clock is wrong must not write by it.
type clock struct {
	// guarded by mu
	mu     sync.Mutex
	offset time.Duration // of the host's clock from this process's
	last   float64       // score
}

// correct takes the time a host told between two moments of this process.
func (c *clock) correct(before, after, told time.Time) {
	if after.Sub(before) > time.Second {
		return // too vague
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = told.Sub(before.Add(after.Sub(before) / 2))
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// score is the present time in seconds, but above all scores before: Redis
// keeps entries in the order of their scores.
func (c *clock) score() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(seconds(time.Now().Add(c.offset)), math.Nextafter(c.last, math.Inf(1)))
	return c.last
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// formatScore writes a score so that Redis reads back the same number.
func formatScore(s float64) string { return strconv.FormatFloat(s, 'f', -1, 64) }

// cut is the score, in whole seconds as upstream computes it, up to which
// entries are too old.
func cut(now time.Time, age time.Duration) string {
	return strconv.FormatInt(now.Unix()-wholeSeconds(age), 10)
}

// wholeSeconds is at least 1: Redis deletes a key that expires in 0 s.
func wholeSeconds(d time.Duration) int64 { return max(int64(d/time.Second), 1) }
