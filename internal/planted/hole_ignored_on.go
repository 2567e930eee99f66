//go:build planted_hole_ignored

package planted

// HoleIgnored gives readers the next message that comes, whether it is the next in the log or not.
const HoleIgnored = true
