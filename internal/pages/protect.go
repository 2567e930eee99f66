package pages

import "net/http"

// policy keeps everything but our own files out of a page, and text from
// becoming code (CSP 3, Trusted Types). An image may be data: or blob: for the
// sake of what a page makes itself.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
	"manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'; connect-src 'self'"

// protect sets the headers that every answer has.
func protect(w http.ResponseWriter, r *http.Request) {
	csp := policy
	if plainHost.MatchString(r.Host) {
		// Browsers that are a few years old do not count sockets as 'self'.
		csp += " ws://" + r.Host + " wss://" + r.Host
	}
	h := w.Header()
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}
