package chrome

import (
	"encoding/json"
	"fmt"
)

// fill puts arguments into an expression, each at a %s: strings become literals,
// everything else its JSON. Without arguments the expression stays as it is.
func fill(expression string, args []any) string {
	if len(args) == 0 {
		return expression
	}
	out := make([]any, len(args))
	for i, a := range args {
		b, err := json.Marshal(a)
		if err != nil {
			b = []byte("undefined")
		}
		out[i] = string(b)
	}
	return fmt.Sprintf(expression, out...)
}
