package live

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
)

// inAddress is a mistake that names its status.
type inAddress struct{}

func (inAddress) Error() string { return "a token in the address" }
func (inAddress) Status() int   { return http.StatusBadRequest }

func TestAnIdentityIsRefusedWithTheStatusOfItsMistake(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"a token that is not ours", errors.New("not ours"), http.StatusUnauthorized},
		{"a mistake that names its status", fmt.Errorf("read: %w", inAddress{}), http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := refusalStatus(c.err); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}
