package limit

import (
	"net/netip"
	"strings"
)

// AddressKey is what stands for one subscriber of a network: an IPv4 address as
// it is, an IPv6 address by its /64, since that is the least a provider gives
// to one customer. It reads an address with or without a port (as in
// http.Request.RemoteAddr), and its own results. Anything else is its own key,
// clipped so that it cannot cost much memory.
func AddressKey(address string) string {
	key, _ := addressKey(address)
	return key
}

// addressKey is AddressKey, and tells whether that is of a network at all.
func addressKey(address string) (key string, network bool) {
	if p, err := netip.ParsePrefix(address); err == nil {
		return p.Masked().String(), true
	}
	ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
	if err != nil {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return address[:min(len(address), 64)], false
		}
		ip = at.Addr()
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String(), true
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return ip.String(), true
	}
	return p.String(), true
}
