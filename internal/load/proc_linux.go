package load

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticks is the unit of processor times in /proc: 1/100 s on every Linux that Go
// runs on (USER_HZ).
const ticks = 100

// usage is what a process has used so far.
type usage struct {
	cpu time.Duration // user and system
	rss int64         // bytes
}

// usageOf reads /proc/PID. With a pid of 0 it is nothing.
func usageOf(pid int) (usage, error) {
	if pid == 0 {
		return usage{}, nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, fmt.Errorf("look at the server: %w", err)
	}
	u, err := parseStat(stat)
	if err != nil {
		return usage{}, fmt.Errorf("look at the server: %w", err)
	}
	return u, nil
}

// parseStat reads fields 14, 15 and 24 of proc_pid_stat(5). The second field
// may hold anything, so counting starts behind its last parenthesis.
func parseStat(stat []byte) (usage, error) {
	_, rest, ok := cutLast(stat, ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 22 {
		return usage{}, errors.New("this is not /proc/PID/stat")
	}
	var n [3]int64
	for i, at := range []int{14 - 3, 15 - 3, 24 - 3} {
		v, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("field %d of /proc/PID/stat: %w", at+3, err)
		}
		n[i] = v
	}
	return usage{cpu: time.Duration(n[0]+n[1]) * (time.Second / ticks), rss: n[2] * int64(os.Getpagesize())}, nil
}

func cutLast(b []byte, sep string) (before, after string, ok bool) {
	i := bytes.LastIndex(b, []byte(sep))
	if i < 0 {
		return "", "", false
	}
	return string(b[:i]), string(b[i+len(sep):]), true
}

// ownCPU is the processor time of this process so far.
func ownCPU() (time.Duration, error) { return used(unix.RUSAGE_SELF) }

// threadCPU is the processor time of the calling thread so far.
func threadCPU() (time.Duration, error) { return used(unix.RUSAGE_THREAD) }

func used(by int) (time.Duration, error) {
	var r unix.Rusage
	if err := unix.Getrusage(by, &r); err != nil {
		return 0, fmt.Errorf("look at the generator's own processor time: %w", err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}

// machineCPU is the processor time that all processes of the machine have used.
func machineCPU() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, fmt.Errorf("look at the machine: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, errors.New("look at the machine: /proc/stat does not begin with its processors")
	}
	busy := int64(0)
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq
		v, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("look at the machine: %w", err)
		}
		busy += v
	}
	return time.Duration(busy) * (time.Second / ticks), nil
}

// Files is how many descriptors this process may have open.
func Files() (int, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	return int(min(l.Cur, 1<<30)), nil
}

// Memory is how many bytes of memory the machine could give to a server now.
func Memory() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read how much memory there is: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemAvailable:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("/proc/meminfo has no MemAvailable")
}

// Pin lets this process run on the given processors only, and the Go runtime
// with as many at once. It must come before Run.
func Pin(cpus []int) error {
	set, err := cpuSet(cpus)
	if err != nil {
		return err
	}
	// Threads that start in between are found by the second round.
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list the own threads: %w", err)
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return fmt.Errorf("list the own threads: %w", err)
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("pin to processors %v: %w", cpus, err)
			}
		}
	}
	runtime.GOMAXPROCS(len(cpus))
	return nil
}

// StartPinned runs start, which starts a process, so that the process runs on
// the given processors only.
func StartPinned(cpus []int, start func() error) error {
	set, err := cpuSet(cpus)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read the own processors: %w", err)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to processors %v: %w", cpus, err)
	}
	err = start()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

func cpuSet(cpus []int) (set unix.CPUSet, err error) {
	for _, c := range cpus {
		if c < 0 || c >= runtime.NumCPU() {
			return set, fmt.Errorf("there is no processor %d: this machine has 0 to %d", c, runtime.NumCPU()-1)
		}
		set.Set(c)
	}
	if len(cpus) == 0 {
		return set, errors.New("no processor to pin to")
	}
	return set, nil
}
