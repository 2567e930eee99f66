package config

import (
	"fmt"
	"strconv"
)

const (
	mostPerAddress = 1000

	limitsMore = "`on` fits homes and small offices: 100 open sockets for an address, and 10 new ones a second. Where more people share one address, as a school, a company or a mobile network behind one router does, say how many times as much an address may do, a whole number from 2 to 1000: `10` is good for 1000 people. It multiplies what counts by address alone: open sockets and new ones, messages, new rooms, new guests. What one person may do stays the same. Count a socket for each open tab. [Operations](operations.md#limits) has all figures. Sizes of messages and frames are limited always. Behind a reverse proxy say `--trusted-proxy` too, or the limits per address count all visitors together, and a greater number only hides that."
)

func setLimits(c *Config, v string) (err error) {
	c.PerAddress = 1
	if n, err := strconv.ParseUint(v, 10, 16); err == nil && n >= 2 && n <= mostPerAddress {
		c.Limits, c.PerAddress = true, int(n)
		return nil
	}
	if c.Limits, err = onOff(v); err != nil {
		return fmt.Errorf("is %s: say on, off, or a whole number from 2 to %d, how many times as much an address may do", Quote(v), mostPerAddress)
	}
	return nil
}
