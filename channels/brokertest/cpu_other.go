//go:build !unix

package brokertest

import "time"

// processorTime is not known here.
func processorTime() time.Duration { return 0 }
