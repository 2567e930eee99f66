package config

import (
	"errors"
	"net"
	"net/netip"
)

// check finds settings that do not go together.
func check(c Config) error {
	switch {
	case len(c.Django.Rooms) > 0 && (c.Layer == Memory || NATS(c.Layer)):
		return errors.New("--django-rooms needs the Redis that Django uses: say --layer redis://HOST:6379, or redis+pubsub:// if that is Django's channel layer")
	case c.Admin != "" && collide(c.Admin, c.Listen):
		return errors.New("--admin is the address of --listen: it is for operators alone, choose another port, such as localhost:9090")
	}
	return nil
}

// collide says that one of two addresses to listen on takes the other's place.
// Names other than localhost are not looked up.
func collide(a, b string) bool {
	hostA, portA, err1 := net.SplitHostPort(a)
	hostB, portB, err2 := net.SplitHostPort(b)
	if err1 != nil || err2 != nil || !samePort(portA, portB) {
		return false
	}
	hostA, hostB = canonical(hostA), canonical(hostB)
	return hostA == hostB || hostA == "" || hostB == ""
}

// samePort tells whether two texts are one port; any free port is none.
func samePort(a, b string) bool {
	p, err1 := net.LookupPort("tcp", a)
	q, err2 := net.LookupPort("tcp", b)
	return err1 == nil && err2 == nil && p == q && p != 0
}

// canonical is a host as others may spell it too; "" is every address.
func canonical(host string) string {
	if host == "localhost" {
		return "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return host
	case ip.IsUnspecified():
		return ""
	}
	return ip.Unmap().String()
}
