package suite

import (
	"fmt"
	"slices"
	"strings"
)

// spread is a figure over all rounds.
type spread struct {
	median, least, most float64
	n                   int
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return spread{median: median, least: sorted[0], most: sorted[len(sorted)-1], n: len(sorted)}
}

// over reads a figure from every good sample. What was not measured is 0 there,
// and left out.
func (f Figure) over(samples []Sample) spread {
	var values []float64
	for _, s := range samples {
		if v := f.Of(s); s.Good() && v != 0 {
			values = append(values, v)
		}
	}
	return spreadOf(values)
}

// ratios divides a figure of each sample by that of the base in the same round.
func (f Figure) ratios(samples, base []Sample) spread {
	var values []float64
	for i := range min(len(samples), len(base)) {
		if samples[i].Good() && base[i].Good() {
			if b := f.Of(base[i]); b != 0 {
				values = append(values, f.Of(samples[i])/b)
			}
		}
	}
	return spreadOf(values)
}

// text is the median, and the range when there is one.
func (s spread) text(digits int) string {
	switch {
	case s.n == 0:
		return "–"
	case s.n == 1:
		return number(s.median, digits)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.median, digits), number(s.least, digits), number(s.most, digits))
}

// number writes thousands with commas.
func number(v float64, digits int) string {
	whole, fraction, _ := strings.Cut(fmt.Sprintf("%.*f", digits, v), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		return whole + "." + fraction
	}
	return whole
}

// ratio has as many digits as it deserves.
func (s spread) ratio() string {
	switch {
	case s.n == 0:
		return "–"
	case s.median >= 10:
		return number(s.median, 0)
	case s.median >= 1:
		return number(s.median, 1)
	}
	return number(s.median, 2)
}
