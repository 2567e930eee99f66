package doctor

import (
	"encoding/json"
	"fmt"
	"io"
)

// Write tells people: a line for each finding, and one below it for what to do.
func Write(w io.Writer, findings []Finding) error {
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Name))
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(w, "%-4s  %-*s  %s\n", f.Level, width, f.Name, f.Found); err != nil {
			return err
		}
		if f.Do == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "      -> %s\n", f.Do); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON tells machines: one object with the worst level and the findings.
func WriteJSON(w io.Writer, findings []Finding) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false) // it is no page
	return out.Encode(struct {
		Level    Level     `json:"level"`
		Findings []Finding `json:"findings"`
	}{Worst(findings), findings})
}
