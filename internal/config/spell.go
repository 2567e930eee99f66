package config

import (
	"fmt"
	"strings"
)

// unknown is the error for a name that is not in the table.
func unknown(kind, name, nearest string) error {
	if nearest == "" {
		return fmt.Errorf("unknown %s %s: teahouse help lists the known ones", kind, name)
	}
	return fmt.Errorf("unknown %s %s: did you mean %s?", kind, name, nearest)
}

// spell finds the setting whose name is nearest to a wrong one, spelled by as;
// "" when none is near.
func spell(name string, as func(setting) string) string {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	if i := Nearest(strings.ToLower(strings.ReplaceAll(name, "_", "-")), names); i >= 0 {
		return as(settings[i])
	}
	return ""
}

// Nearest is the index of the word that name is most likely a misspelling of,
// or -1. One edit in three letters counts as likely, and so does a beginning
// of at least three letters.
func Nearest(name string, words []string) int {
	best, nearest := max(1, len(name)/3)+1, -1
	if len(name) > 64 {
		return -1
	}
	for i, w := range words {
		d := edits(name, w)
		if len(name) >= 3 && strings.HasPrefix(w, name) {
			d = min(d, 1)
		}
		if d < best {
			best, nearest = d, i
		}
	}
	return nearest
}

// edits is the Levenshtein distance in bytes, with a swap of neighbours as one.
func edits(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
