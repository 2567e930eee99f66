package channels

// Capacity is how many events may wait in a channel whose whole name Pattern
// matches: * stands for any text, ? for any character, [a-z] for one of these
// and [!a-z] for one that is not; all else for itself. For the name of a
// connection it is the events that wait for its consumer's Event.
type Capacity struct {
	Pattern string
	Events  int
}

// capacityOf is how many events may wait in a channel.
func (l *Layer) capacityOf(channel string) int {
	for _, c := range l.capacities {
		if match([]rune(c.Pattern), []rune(channel)) {
			return c.Events
		}
	}
	return l.capacity
}

// match tells whether a pattern matches a whole name. It takes time of at most
// the product of their lengths.
func match(pattern, name []rune) bool {
	star, tried := -1, 0 // the last star, and where what it stands for ended
	p, n := 0, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, tried = p, n
			p++
			continue
		}
		if size, ok := matchOne(pattern[p:], name[n]); ok {
			p += size
			n++
			continue
		}
		if star < 0 {
			return false
		}
		tried++
		p, n = star+1, tried
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches one character with the beginning of a pattern, and returns
// how much of the pattern that is.
func matchOne(pattern []rune, r rune) (size int, ok bool) {
	if len(pattern) == 0 {
		return 0, false
	}
	if pattern[0] != '[' {
		return 1, pattern[0] == '?' || pattern[0] == r
	}
	i, not := 1, false
	if i < len(pattern) && pattern[i] == '!' {
		i, not = i+1, true
	}
	first := i
	for ; i < len(pattern); i++ {
		switch {
		case pattern[i] == ']' && i > first:
			return i + 1, ok != not
		case i+2 < len(pattern) && pattern[i+1] == '-' && pattern[i+2] != ']':
			ok = ok || pattern[i] <= r && r <= pattern[i+2]
			i += 2
		default:
			ok = ok || pattern[i] == r
		}
	}
	return 1, r == '[' // never closed: it stands for itself
}
