//go:build !planted_ack_before_commit

package planted

// AckBeforeCommit answers commits before they are durable: what PostgreSQL had not yet written
// is lost when it crashes, and was acknowledged.
const AckBeforeCommit = false
