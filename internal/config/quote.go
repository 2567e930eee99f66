package config

import (
	"strconv"
	"strings"
)

// longest is how many bytes of a value an error repeats.
const longest = 64

// Quote is what an operator wrote, in quotation marks, for an error; of what may
// hold a login, since it is an address or has parameters, only the scheme. People
// put addresses into the wrong place, and errors into public.
func Quote(v string) string {
	if !strings.ContainsAny(v, "@=") && !strings.Contains(v, "//") {
		if len(v) > longest {
			v = strings.ToValidUTF8(v[:longest], "") + "…"
		}
		return strconv.Quote(v)
	}
	if scheme := schemeOf(v); scheme != "" {
		return `"` + scheme + `://…"`
	}
	return `"…"`
}

// Name is an unknown name for an error: as it is, or as Quote has it when it may
// be no name at all but something with a login.
func Name(v string) string {
	if q := Quote(v); q != strconv.Quote(v) {
		return q
	}
	return v
}

// schemeOf is what a URL begins with, by RFC 3986, section 3.1; "" if it does
// not begin like one, and then the beginning may be a secret.
func schemeOf(v string) string {
	scheme, _, found := strings.Cut(v, "://")
	if !found || scheme == "" || len(scheme) > 32 || !('a' <= scheme[0]|0x20 && scheme[0]|0x20 <= 'z') || !isWord(scheme) || strings.ContainsAny(scheme, "_/") {
		return ""
	}
	return scheme
}

// isWord says that there is nothing in v but one word or path, of which no login
// is made: no address without its scheme, and not libpq's host=… password=….
func isWord(v string) bool {
	for _, c := range []byte(v) {
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', strings.IndexByte("._/+-", c) >= 0:
		default:
			return false
		}
	}
	return len(v) <= longest
}
