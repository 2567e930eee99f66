//go:build !planted_nonce_not_unique

package planted

// NonceNotUnique lets a nonce be stored again and again.
const NonceNotUnique = false
