//go:build planted_order_by_timestamp

package planted

// OrderByTimestamp reads messages in the order of their times, which several may share.
const OrderByTimestamp = true
