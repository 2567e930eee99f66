//go:build !linux && !openbsd && !dragonfly && !darwin && !freebsd && !netbsd

package sqlstore

import "os"

// spotOf is for systems that tell where a file is: this one does not.
func spotOf(*os.File) (spot, bool) { return spot{}, false }
