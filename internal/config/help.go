package config

import (
	"fmt"
	"strings"
)

// Help is the list of settings for the help text, one or two lines each.
func Help() string {
	var b strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&b, "  --%s %s\n      %s", s.name, s.arg, s.help)
		if s.def != "" {
			fmt.Fprintf(&b, " [%s]", s.def)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
