package arch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const module = "github.com/teahouse-chat/teahouse"

// everything stands for all of our packages.
const everything = "..."

// mayImport is, for each of our packages, what it may import of ours. It goes
// downward only, and what stands side by side does not know each other.
var mayImport = map[string][]string{
	"wire":               {},
	"client/js":          {},
	"internal/planted":   {},
	"internal/chat":      {"internal/planted"},
	"internal/websocket": {"internal/planted"},
	"internal/metrics":   {},
	"internal/config":    {"channels/redis", "channels/nats"},
	"internal/arch":      {},
	"internal/parts":     {},
	"internal/interop":   {},

	"web":                     {"client/js"},
	"client":                  {"wire"},
	"channels":                {"internal/websocket"},
	"channels/brokertest":     {"channels"},
	"channels/channelstest":   {"channels"},
	"channels/internal/pack":  {},
	"channels/internal/inbox": {},
	"channels/redis":          {"channels", "channels/internal/pack", "channels/internal/inbox"},
	"channels/nats":           {"channels", "channels/internal/pack", "channels/internal/inbox"},
	"channels/worker":         {"channels"},
	"internal/chat/memstore":  {"internal/chat"},
	"internal/chat/storetest": {
		"internal/chat", "internal/chat/memstore",
	},
	"internal/sqlstore": {"internal/chat", "internal/planted"},
	"internal/auth":     {"internal/chat"},
	"internal/markup":   {"internal/chat"},
	"internal/limit":    {"internal/chat"},
	"internal/live":     {"channels", "internal/chat", "internal/planted", "wire"},
	"internal/bridge":   {"channels", "internal/chat"},
	"internal/pages":    {"internal/chat", "wire", "internal/auth", "internal/markup", "web"},
	"internal/api":      {"internal/chat", "wire", "internal/auth", "internal/markup", "web"},

	"internal/load": {"wire"},

	"examples/chat":           {"channels", "channels/redis"},
	"examples/counter":        {"channels"},
	"examples/worker":         {"channels", "channels/redis", "channels/worker"},
	"examples/django":         {},
	"examples/guide":          {},
	"examples/internal/stage": {"internal/parts"},

	"internal/doctor": {"channels", "channels/redis", "channels/nats", "internal/config", "internal/sqlstore", "wire"},

	"internal/app": {everything},
	"internal/cli": {"internal/app", "internal/config", "internal/doctor", "internal/load", "internal/sqlstore", "client"},
	"cmd/teahouse": {"internal/cli"},
}

// outside is, for the packages that must stay light, what they may import that
// is neither ours nor the standard library's.
var outside = map[string][]string{
	"wire":               {},
	"web":                {},
	"client/js":          {},
	"internal/arch":      {},
	"internal/websocket": {},
	"internal/chat":      {"golang.org/x/text/unicode/norm"},
	"cmd/teahouse":       {},
}

// only is, for what must not spread, the one package that may import it.
var only = map[string]string{
	"github.com/prometheus/": "internal/metrics",
}

// codecs is how many modules besides the standard library channels may depend
// on, directly or not: the frame codec.
const codecs = 1

// pkg is what go list says about a package; tests are not part of it.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
	Module     *struct{ Path string }
}

// checkImports returns one sentence for each broken rule.
func checkImports(all []pkg) []string {
	byPath := make(map[string]pkg, len(all))
	for _, p := range all {
		byPath[p.ImportPath] = p
	}
	var wrong []string
	for _, p := range all {
		name, ok := ours(p.ImportPath)
		if !ok {
			continue
		}
		allowed, known := mayImport[name]
		if !known {
			wrong = append(wrong, fmt.Sprintf("%s has no place yet: add it to mayImport in internal/arch with what it may import", name))
			continue
		}
		for _, imported := range p.Imports {
			if why := refuse(name, allowed, imported, byPath[imported].Standard); why != "" {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", name, strings.TrimPrefix(imported, module+"/"), why))
			}
		}
	}
	return append(wrong, checkCodecs(byPath)...)
}

// refuse says why one import is not allowed, or nothing.
func refuse(name string, allowed []string, imported string, standard bool) string {
	if other, ok := ours(imported); ok {
		if slices.Contains(allowed, other) || slices.Contains(allowed, everything) && !above(other) {
			return ""
		}
		return fmt.Sprintf("of ours it may import only %v; move what both need downward, or pass it in from internal/app", allowed)
	}
	if standard {
		return ""
	}
	for prefix, owner := range only {
		if strings.HasPrefix(imported, prefix) && name != owner {
			return "only " + owner + " may; give the numbers away by a function instead"
		}
	}
	if light, ok := outside[name]; ok && !slices.Contains(light, imported) {
		return fmt.Sprintf("besides the standard library it may import only %v", light)
	}
	return ""
}

// above tells whether a package stands over internal/app.
func above(name string) bool { return name == "internal/cli" || strings.HasPrefix(name, "cmd/") }

// ours is the path inside the module.
func ours(path string) (string, bool) { return strings.CutPrefix(path, module+"/") }

// checkCodecs counts the modules that channels needs.
func checkCodecs(byPath map[string]pkg) []string {
	modules := make(map[string]bool)
	for _, dep := range byPath[module+"/channels"].Deps {
		p := byPath[dep]
		if _, our := ours(dep); our || p.Standard || p.Module == nil {
			continue
		}
		modules[p.Module.Path] = true
	}
	if len(modules) <= codecs {
		return nil
	}
	return []string{fmt.Sprintf("channels depends on %v: the toolkit may need the standard library and at most %d frame codec",
		slices.Sorted(maps.Keys(modules)), codecs)}
}
