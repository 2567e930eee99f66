package config

import (
	"fmt"
	"time"
)

const (
	autoDrain   = time.Duration(-1) // of Config.Drain: as the store has it, see DrainTime
	sharedDrain = 4 * time.Second   // with a store that other servers share
	maxDrain    = 5 * time.Minute
	auto        = "auto"

	drainMore = "`auto` is 4s with PostgreSQL, where other servers take over, and 0s with SQLite, where a longer stop only keeps people away for longer. SIGTERM or Ctrl-C turns `/readyz` to 503 first. With PostgreSQL the server goes on for the first third of the time, so that load balancers notice, then accepts no more connections and sends its clients away (1012), a few at a time, each of which comes back to another server within a moment and goes on where it was. With SQLite it goes on for the whole time and then sends all away at once, to come back to the next process within 6 s. What it accepted is stored and acknowledged in either case. The process ends within 10 s, or 6 s after a longer `--drain`; give it as long before SIGKILL. A second signal ends it at once."
)

// DrainTime is for how long a stop goes on serving.
func (c Config) DrainTime() time.Duration {
	switch {
	case c.Drain != autoDrain:
		return c.Drain
	case c.PostgreSQL():
		return sharedDrain
	}
	return 0
}

func setDrain(c *Config, v string) error {
	if v == auto {
		c.Drain = autoDrain
		return nil
	}
	d, err := time.ParseDuration(v)
	switch {
	case err != nil:
		return fmt.Errorf("is %s: say a time with its unit, such as 10s, or auto", Quote(v))
	case d < 0 || d > maxDrain:
		return fmt.Errorf("is %q: say a time from 0s to %.0fm, or auto", v, maxDrain.Minutes())
	}
	c.Drain = d
	return nil
}
