package doctor

import (
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// readMachine reads what the kernel tells. A container may hide some of it.
func readMachine() machine {
	var m machine
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		m.files = files.Max // the soft limit is raised to it at the start of every Go program
	}
	m.queue, _ = strconv.Atoi(text("/proc/sys/net/core/somaxconn"))
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err == nil {
		m.memory = uint64(info.Totalram) * uint64(info.Unit)
	}
	m.memoryMay, m.processors = readGroups("/sys/fs/cgroup", text("/proc/self/cgroup"))
	return m
}

// readGroups reads the limits of the control groups that a process is in, from
// its own up to the root: the smallest counts. It knows version 2 alone, and
// gives 0 where there is no limit.
func readGroups(root, groups string) (memory uint64, processors float64) {
	for entry := range strings.Lines(groups) {
		group, ok := strings.CutPrefix(strings.TrimSpace(entry), "0::")
		if !ok {
			continue
		}
		for at := path.Clean("/" + group); ; at = path.Dir(at) {
			if n, err := strconv.ParseUint(text(path.Join(root, at, "memory.max")), 10, 64); err == nil && (memory == 0 || n < memory) {
				memory = n
			}
			quota, period, _ := strings.Cut(text(path.Join(root, at, "cpu.max")), " ")
			q, err1 := strconv.ParseFloat(quota, 64) // "max" is none
			p, err2 := strconv.ParseFloat(period, 64)
			if n := q / p; err1 == nil && err2 == nil && p > 0 && (processors == 0 || n < processors) {
				processors = n
			}
			if at == "/" {
				return memory, processors
			}
		}
	}
	return 0, 0
}

// text is what is in a small file; "" if it cannot be read.
func text(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
