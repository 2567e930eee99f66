//go:build planted_drop_on_full

package planted

// DropOnFull leaves out what a slow client has no room for.
const DropOnFull = true
