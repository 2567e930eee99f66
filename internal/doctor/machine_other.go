//go:build !linux

package doctor

func readMachine() machine { return machine{} } // the limits that matter are Linux's
