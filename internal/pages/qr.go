package pages

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

// quietZone is the white border of a QR code in modules (ISO/IEC 18004, 6.3.8).
const quietZone = 4

// qr draws a room's link for cameras: black on white in every theme.
func (p *Pages) qr(w http.ResponseWriter, r *http.Request) {
	slug, ok := p.slug(w, r, "qr.svg")
	if !ok {
		return
	}
	origin := p.origin(r)
	if origin == "" {
		p.notFound(w, r)
		return
	}
	code, err := qr.Encode(origin+roomPath(slug), qr.M, qr.Auto)
	if err != nil {
		p.failed(w, r, "drawing a QR code", err)
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Cache-Control", "private, max-age=3600")
	_, _ = w.Write(drawQR(code))
}

// drawQR is an SVG picture of code, one unit to the module.
func drawQR(code barcode.Barcode) []byte {
	size := code.Bounds().Dx()
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" shape-rendering="crispEdges">`, size+2*quietZone)
	fmt.Fprintf(&b, `<rect width="%[1]d" height="%[1]d" fill="#fff"/><path fill="#000" d="`, size+2*quietZone)
	for y := range size {
		for x := range size {
			if red, _, _, _ := code.At(x, y).RGBA(); red == 0 {
				fmt.Fprintf(&b, "M%d %dh1v1h-1z", x+quietZone, y+quietZone)
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.Bytes()
}
