package app

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/config"
)

func TestTheGreetingSaysWhereMessagesAreAndNoPassword(t *testing.T) {
	for _, c := range []struct{ store, want string }{
		{"", "(data in there)"},
		{"sqlite:elsewhere/tea.db", "(data in elsewhere/tea.db)"},
		{"postgres://me:secret@db.internal:5433/tea", "PostgreSQL at db.internal:5433/tea)"},
		{"postgres://tea:secret@db.internal", "PostgreSQL at db.internal:5432/tea)"}, // its name is the user's
		{"postgres://db.internal/tea?user=me&password=secret", "PostgreSQL at db.internal:5432/tea)"},
	} {
		cfg, err := config.Load([]string{"--data=there", "--store=" + c.store}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		greet(&out, cfg, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080})
		if got := out.String(); !strings.Contains(got, c.want) || strings.Contains(got, "secret") {
			t.Errorf("with the store %q it says %q, want %q", c.store, got, c.want)
		}
	}
}
