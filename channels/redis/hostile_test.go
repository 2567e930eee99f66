package redis

import (
	"runtime"
	"slices"
	"testing"

	"github.com/teahouse-chat/teahouse/channels/internal/pack"
)

func TestABodyThatClaimsMuchTakesLittleMemory(t *testing.T) {
	const most = 256 << 20 // the race detector included; believing the claims takes 8 GiB
	for name, head := range map[string][]byte{
		"lists of a million, one in the other":     {0xdd, 0, 0x0f, 0, 0},
		"maps of half a million, one in the other": {0xdf, 0, 0x07, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			body := append(slices.Repeat(head, pack.MaxDepthDecode), make([]byte, maxBody-len(head)*pack.MaxDepthDecode)...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := pack.DecodeMsgpack(body); err == nil {
				t.Error("a body that ends too early was taken")
			}
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > most {
				t.Errorf("decoding took %d MiB of memory", took>>20)
			}
		})
	}
}
