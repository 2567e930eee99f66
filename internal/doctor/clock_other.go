//go:build !linux

package doctor

func clockKept() bool { return true } // nobody tells
