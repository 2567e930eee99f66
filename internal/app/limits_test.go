package app

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// TestASchoolBehindOneAddressIsServed makes more new rooms than an address may.
func TestASchoolBehindOneAddressIsServed(t *testing.T) {
	for limits, most := range map[string]int{"on": 5, "3": 15} {
		t.Run(limits, func(t *testing.T) {
			c, err := config.Load([]string{"--limits", limits}, nil)
			if err != nil {
				t.Fatal(err)
			}
			url := serve(t, c)
			parts.Eventually(t, "ready", func() bool {
				status, _ := ask(t, http.MethodGet, url+"/readyz", "")
				return status == http.StatusOK
			})
			made := 0
			for n := range 20 {
				switch status, text := ask(t, http.MethodPost, url+"/api/rooms/room"+strconv.Itoa(n)+"/messages", `{"text":"x"}`); {
				case status/100 == 2:
					made++
				case status != http.StatusTooManyRequests:
					t.Fatalf("a post was answered with %d %s", status, text)
				}
			}
			if made < most || made >= min(2*most, 20) { // it may take a while
				t.Errorf("%d rooms were made at once, want %d", made, most)
			}
		})
	}
}
