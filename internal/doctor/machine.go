package doctor

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"

	"github.com/teahouse-chat/teahouse/internal/config"
)

const (
	fewFiles  = 4096 // each socket is an open file
	leastFile = 256  // the server's own and those of a few people
	queue     = 1024 // connections that wait to be accepted when everybody comes back at once

	ownMemory = 64 << 20 // of a server that nobody visits, with some room
	backlogs  = 3        // times the setting, at most, for moments
)

// machine is what the system lets a process have. What is not known is 0.
type machine struct {
	files      uint64  // that may be open at once
	queue      int     // connections that may wait at a listener
	memory     uint64  // bytes that the machine has
	memoryMay  uint64  // bytes that this process and those beside it may use; 0 is all
	processors float64 // that they may use; 0 is all
}

// lookAtMachine judges what readMachine finds.
func lookAtMachine(c config.Config) []Finding { return judgeMachine(readMachine(), c.Backlog) }

func judgeMachine(m machine, backlog int64) []Finding {
	findings := []Finding{judgeProcessors(m)}
	if m.files > 0 {
		f := found("open files", "%s may be open at once, each socket is one", count(m.files))
		switch {
		case m.files < leastFile:
			f = f.fail("raise the limit: ulimit -Hn 65536, or LimitNOFILE=65536 in the systemd unit")
		case m.files < fewFiles:
			f = f.warn("for more people than that raise the limit: ulimit -Hn 65536, or LimitNOFILE=65536 in the systemd unit")
		}
		findings = append(findings, f)
	}
	if m.queue > 0 {
		f := found("listen queue", "%d connections may wait to be accepted", m.queue)
		if m.queue < queue {
			f = f.warn("when everybody comes back at once some are turned away: sysctl -w net.core.somaxconn=4096")
		}
		findings = append(findings, f)
	}
	may := m.memory
	if m.memoryMay > 0 {
		may = min(may, m.memoryMay)
	}
	if may == 0 {
		return findings
	}
	f := found("memory", "%s may be used, of %s", size(may), size(m.memory))
	if needs := ownMemory + backlogs*uint64(backlog); may < needs {
		fits := (int64(may) - ownMemory) / backlogs >> 20
		f = f.warn("many slow clients at once may need %s: say --backlog %dMiB, or give it more", size(needs), max(fits, 1))
	}
	return append(findings, f)
}

func judgeProcessors(m machine) Finding {
	uses, has := runtime.GOMAXPROCS(0), runtime.NumCPU()
	if m.processors > 0 && m.processors < float64(has) {
		f := found("processors", "%d used, of %d, with a quota of %s", uses, has, strconv.FormatFloat(m.processors, 'g', 3, 64))
		switch {
		case m.processors < 1:
			f = f.warn("the server is stopped for parts of each tenth of a second: give it a whole processor")
		case os.Getenv("GOMAXPROCS") != "" && float64(uses) > math.Ceil(m.processors):
			f = f.warn("leave GOMAXPROCS unset: it is more than the quota lets run")
		}
		return f
	}
	return found("processors", "%d used, of %d", uses, has)
}

// size is a number of bytes for people.
func size(n uint64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if value >= 100 {
		return fmt.Sprintf("%.0f %s", value, units[unit])
	}
	return fmt.Sprintf("%.3g %s", value, units[unit])
}

// count is a number for people.
func count(n uint64) string {
	if n >= math.MaxInt64/2 {
		return "any number"
	}
	return strconv.FormatUint(n, 10)
}
