package redis

import (
	"math"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestScoresRiseWhateverTheClockDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock stands still
		var c clock
		last := 0.0
		for _, behind := range []time.Duration{0, time.Minute, time.Hour, -time.Hour, 0} {
			c.correct(time.Now(), time.Now(), time.Now().Add(-behind))
			for range 1000 {
				s := c.score()
				if s <= last {
					t.Fatalf("%f follows %f, with a host %s behind", s, last, behind)
				}
				if read, err := strconv.ParseFloat(formatScore(s), 64); err != nil || read != s {
					t.Fatalf("%f is written as %s", s, formatScore(s))
				}
				last = s
			}
		}
	})
}

func TestAClockIsThatOfItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		asked := time.Now()
		time.Sleep(200 * time.Millisecond)
		c.correct(asked, time.Now(), asked.Add(time.Hour+100*time.Millisecond))
		if got := time.Until(c.now()); got != time.Hour {
			t.Errorf("the host is %s ahead, want 1h", got)
		}
		time.Sleep(2 * time.Second)
		c.correct(asked, time.Now(), time.Now()) // an answer that took so long tells too little
		if got := time.Until(c.now()); got != time.Hour {
			t.Errorf("the host is %s ahead, want still 1h", got)
		}
		if got, want := c.score(), seconds(c.now()); math.Abs(got-want) > 1e-3 {
			t.Errorf("the score is %f, want %f", got, want)
		}
	})
}
