package config

import (
	"errors"
	"fmt"
	"net/netip"
)

const proxiesMore = "Needed behind a reverse proxy: without it all visitors count as one, so they meet the limits per address together. What a visitor's address, host and scheme are is then read from `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`, but only where the connection comes from one of these addresses; from elsewhere the headers mean nothing. The visitor is the rightmost address in `X-Forwarded-For` that is not a trusted proxy. The proxy has to set all three, as in [the examples](operations.md#behind-nginx-caddy-or-haproxy). Say `--base-url` too, since a name that is not known as this server's is refused."

// setTrustedProxies reads addresses and networks in CIDR notation.
func setTrustedProxies(c *Config, values []string) error {
	c.TrustedProxies = nil
	for i, v := range values {
		p, err := network(v)
		if err != nil && len(values) > 1 {
			return fmt.Errorf("number %d %w", i+1, err)
		}
		if err != nil {
			return err
		}
		c.TrustedProxies = append(c.TrustedProxies, p)
	}
	return nil
}

// network reads an address, which is a network of one, or a network. IPv4 in the
// form of IPv6 becomes IPv4.
func network(v string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(v); err == nil {
		a = a.WithZone("").Unmap()
		return a.Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(v)
	if err == nil && p.Addr().Is4In6() {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	switch {
	case err != nil || !p.IsValid():
		return p, fmt.Errorf("is %s: say an address or a network, such as 127.0.0.1 or 10.0.0.0/24; names are not looked up", Quote(v))
	case p.Bits() == 0:
		return p, errors.New("trusts everybody, so that visitors could choose their address: name the addresses of the proxy")
	case p != p.Masked():
		return p, fmt.Errorf("is %.64q: say %s for the network, or %s for the one address", v, p.Masked(), p.Addr())
	}
	return p, nil
}
