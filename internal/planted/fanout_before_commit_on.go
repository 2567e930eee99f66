//go:build planted_fanout_before_commit

package planted

// FanoutBeforeCommit tells readers of messages before they are stored, under the numbers that they
// will get if nobody else posts.
const FanoutBeforeCommit = true
