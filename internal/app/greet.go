package app

import (
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// greet tells people where the server is and how to invite somebody.
func greet(w io.Writer, c config.Config, at net.Addr) {
	own := "http://" + at.String() + "/"
	tcp, ok := at.(*net.TCPAddr)
	if ok && (tcp.IP.IsUnspecified() || tcp.IP.IsLoopback()) {
		own = fmt.Sprintf("http://localhost:%d/", tcp.Port)
	}
	public := own
	if c.BaseURL != "" {
		public = strings.TrimSuffix(c.BaseURL, "/") + "/"
	}
	fmt.Fprintf(w, "Teahouse is open at %s (data in %s)\n", public, keptIn(c))
	switch {
	case c.BaseURL != "" || !ok:
		fmt.Fprintf(w, "Invite people: send them %schat/lobby/ or any other room name.\n", public)
	case tcp.IP.IsUnspecified():
		fmt.Fprintf(w, "Invite people: send them http://%s/chat/lobby/ or any other room name.\n",
			net.JoinHostPort(networkAddress(), fmt.Sprint(tcp.Port)))
	case tcp.IP.IsLoopback():
		fmt.Fprintf(w, "Invite people: send %schat/lobby/ on this machine; for others in your network start with --listen :%d\n", own, tcp.Port)
	default:
		fmt.Fprintf(w, "Invite people: send them %schat/lobby/ or any other room name.\n", own)
	}
}

// isLocal says that only this machine can connect to an address.
func isLocal(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// keptIn is where the messages are, for people: without a password.
func keptIn(c config.Config) string {
	switch {
	case c.PostgreSQL():
		return "PostgreSQL at " + strings.TrimPrefix(sqlstore.Place(c.Store), "postgres://")
	case c.Store != "": // elsewhere than in the folder
		return c.StoreAt()
	}
	return c.Data
}

// networkAddress is the address by which others in the network reach this
// machine, as far as it can be told from here.
func networkAddress() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "localhost"
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return "localhost"
}
