package pages

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

// quietZone is the white border of a QR code in modules (ISO/IEC 18004, 6.3.8).
const quietZone = 4

// invitation is the link to a room as it is handed on.
type invitation struct {
	Link  string // absolute; "" when the request's Host is not to be repeated
	Local bool   // no other computer can open it
}

func (p *Pages) invitation(r *http.Request, slug string) invitation {
	origin := p.origin(r)
	if origin == "" {
		return invitation{}
	}
	return invitation{Link: origin + roomPath(slug), Local: loopback(origin)}
}

// loopback tells whether an origin is reached from its own computer only: an
// address of RFC 6890's loopback blocks, or a name that RFC 6761 keeps for them.
func loopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// inviteView is the invitation as a page, for visitors without JavaScript.
type inviteView struct {
	view
	invitation
	Room, Path string
}

// invite shows the link to a room, to be copied by hand or photographed.
func (p *Pages) invite(w http.ResponseWriter, r *http.Request) {
	slug, ok := p.slug(w, r, "invite")
	if !ok {
		return
	}
	v := &inviteView{view: p.view(r), invitation: p.invitation(r, slug), Room: slug, Path: roomPath(slug)}
	if v.Link == "" {
		p.notFound(w, r)
		return
	}
	v.Title, v.Description, v.NoIndex = v.T("invite.title", "room", slug), v.T("invite.text"), true
	p.render(w, r, http.StatusOK, "invite", v)
}

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
