//go:build !planted_retry_answers_newest

package planted

// RetryAnswersNewest acknowledges a repeated nonce as the room's newest message.
const RetryAnswersNewest = false
