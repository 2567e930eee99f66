package config

import (
	"fmt"
	"strconv"
	"strings"
)

// units of a size, by their names in lower case. Each ends in b, so that a bare
// number is the only size without one.
var units = []struct {
	name  string
	bytes int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9},
	{"b", 1}, // last: the others end like it
}

// size reads a number of bytes from least to most, such as 256MiB.
func size(v string, least, most int64) (int64, error) {
	digits, unit := strings.ToLower(strings.TrimSpace(v)), int64(1)
	for _, u := range units {
		if number, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = strings.TrimSpace(number), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("is %s: say a whole number of bytes with a unit, such as 256MiB or 1GiB", Quote(v))
	}
	if n > uint64(most/unit) || int64(n)*unit < least {
		return 0, fmt.Errorf("is %q: say a size from %s to %s", v, sizeText(least), sizeText(most))
	}
	return int64(n) * unit, nil
}

// sizeText writes a size in the largest binary unit that holds it whole.
func sizeText(n int64) string {
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
