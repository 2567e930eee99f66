package server

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Log collects what processes write. It may be used by many goroutines.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is everything written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// tail is the end of a log, as much as a person reads.
func (l *Log) tail() string {
	const most = 8 << 10
	text := l.String()
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}

// PID is the process id of the newest process.
func (s *Server) PID() int { return s.run.command.Process.Pid }

// RSS is the resident memory of the process in bytes.
func (s *Server) RSS(tb testing.TB) int64 {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		tb.Fatalf("read the memory of the server: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				tb.Fatalf("read the memory of the server: %v", err)
			}
			return kib << 10
		}
	}
	tb.Fatalf("no VmRSS in\n%s", status)
	return 0
}

// Files is how many file descriptors the process has open.
func (s *Server) Files(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		tb.Fatalf("read the files of the server: %v", err)
	}
	return len(entries)
}
