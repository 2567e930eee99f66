package doctor

import (
	"testing"
)

func TestAMachineIsJudged(t *testing.T) {
	good := machine{files: 65536, queue: 4096, memory: 16 << 30, processors: 2}
	for name, c := range map[string]struct {
		change func(*machine)
		about  string
		level  Level
		says   string
	}{
		"all is well":               {func(*machine) {}, "memory", OK, "16 GiB"},
		"any number of files":       {func(m *machine) { m.files = 1<<64 - 1 }, "open files", OK, "any number"},
		"files for some people":     {func(m *machine) { m.files = 1024 }, "open files", Warn, "LimitNOFILE"},
		"files for nobody":          {func(m *machine) { m.files = 64 }, "open files", Fail, "ulimit"},
		"a short queue":             {func(m *machine) { m.queue = 128 }, "listen queue", Warn, "somaxconn"},
		"a group with little":       {func(m *machine) { m.memoryMay = 512 << 20 }, "memory", Warn, "--backlog 149MiB"},
		"a machine with little":     {func(m *machine) { m.memory = 32 << 20 }, "memory", Warn, "--backlog 1MiB"},
		"a group with more than is": {func(m *machine) { m.memoryMay = 1 << 60 }, "memory", OK, "16 GiB may be used"},
		"half a processor":          {func(m *machine) { m.processors = .5 }, "processors", Warn, "quota of 0.5"},
	} {
		t.Run(name, func(t *testing.T) {
			m := good
			c.change(&m)
			expect(t, named(t, judgeMachine(m, 256<<20), c.about), c.level, c.says)
		})
	}
	if findings := judgeMachine(machine{}, 1); len(findings) != 1 {
		t.Errorf("of a machine that tells nothing: %+v", findings)
	}
}
