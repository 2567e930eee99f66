package load

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// runCapacity measures a fixed rate and saturation, one after the other on the
// same server, and estimates from them.
func runCapacity(ctx context.Context, p Plan) (Result, error) {
	out := Result{
		Scenario: Capacity, Protocol: p.Protocol.Name(), Rooms: p.Rooms, Members: p.Members,
		Connections: p.Rooms * p.Members, Size: p.Size, MayUse: p.Cores, Valid: true,
	}
	for _, scenario := range []string{Rate, Fanout} {
		p.Scenario = scenario
		part, err := Run(ctx, p)
		if err != nil {
			return out, err
		}
		out.Parts = append(out.Parts, part)
		out.Seconds += part.Seconds
		out.Deliveries += part.Deliveries
		out.Posts += part.Posts
		out.Problems = append(out.Problems, part.Problems...)
		out.Notes = append(out.Notes, part.Notes...)
		out.Valid = out.Valid && part.Valid
	}
	out.RSSPerConnection = out.Parts[0].RSSPerConnection
	out.Latency = out.Parts[0].Latency
	if p.PID == 0 {
		return out, nil
	}
	memory, err := Memory()
	if err != nil {
		return out, err
	}
	files, err := filesOf(p.PID)
	if err != nil {
		return out, err
	}
	out.Estimate = estimate(out.Parts[0], machine{cores: runtime.NumCPU(), memory: memory, files: files})
	return out, nil
}

// filesOf is how many descriptors a process may have open.
func filesOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return 0, fmt.Errorf("look at the server: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, "Max open files")
		if f := strings.Fields(rest); ok && len(f) > 0 {
			if n, err := strconv.Atoi(f[0]); err == nil {
				return n, nil
			}
		}
	}
	return 0, fmt.Errorf("/proc/%d/limits does not say how many files it may open", pid)
}
