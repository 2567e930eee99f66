package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/load"
)

// machine is where the run was made, in sentences without names of hosts.
func machine(dir string) []string {
	facts := []string{fmt.Sprintf("%d × %s, %s/%s", runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH)}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		facts = append(facts, "Linux "+strings.TrimSpace(string(release)))
	}
	if bytes, err := load.Memory(); err == nil {
		facts = append(facts, fmt.Sprintf("%.0f GB of memory free", float64(bytes)/(1<<30)))
	}
	if files, err := load.Files(); err == nil {
		facts = append(facts, fmt.Sprintf("at most %d open files per process", files))
	}
	facts = append(facts, runtime.Version())
	if took, err := syncTime(dir); err == nil {
		facts = append(facts, fmt.Sprintf("the disk needs %.2f ms for an append of 4 KB with fsync (median)", float64(took)/float64(time.Millisecond)))
	}
	return facts
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor"
}

// syncTime is how long the disk of dir takes to make an append durable.
func syncTime(dir string) (time.Duration, error) {
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	defer func() { _ = file.Close() }() // nothing in it is wanted
	var times []time.Duration
	for range 41 {
		began := time.Now()
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		if err := file.Sync(); err != nil {
			return 0, fmt.Errorf("measure the disk: %w", err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}
