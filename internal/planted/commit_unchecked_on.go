//go:build planted_commit_unchecked

package planted

// CommitUnchecked takes a commit for done whatever the database says of it.
const CommitUnchecked = true
