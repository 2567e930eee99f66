package nats

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Options are where the servers are and how to get in. Processes of one layer
// share the prefix; the servers may be different ones of one cluster.
type Options struct {
	// Servers are nats://host[:4222], or all tls://host[:4222], which insists on
	// TLS [nats://localhost:4222]. A process uses one at a time, and of those of a
	// cluster also such as it learns of.
	Servers []string

	Prefix string // of all subjects, of one or more tokens ["teahouse"]

	// At most one way to log in:
	User, Password string
	Token          string
	Creds          string // a file with a JWT and the seed of its key; read at each connection
	NKey           string // a file with the seed of an NKey; read at each connection

	TLS *tls.Config // for tls servers, and those that ask for it [the system's authorities]
}

// ParseURL reads Options from one text, as a flag or a variable has it:
//
//	nats://[user:password@]host[:4222][,host…][?parameters]
//	nats://token@host
//	tls://…
//
// Every server may also have its scheme, nats://a,nats://b. Special characters of
// credentials are percent-encoded. Parameters: prefix, creds, nkey, and the names
// of PEM files ssl_ca_certs, ssl_certfile and ssl_keyfile.
//
// Its errors are for whoever wrote the text, and never contain a password.
func ParseURL(s string) (Options, error) {
	servers, query, _ := strings.Cut(strings.TrimSpace(s), "?")
	scheme, _, found := strings.Cut(servers, "://")
	if !found {
		return Options{}, errors.New("nats: the URL has no scheme; write for example nats://localhost:4222")
	}
	var o Options
	login := ""
	for i, part := range strings.Split(servers, ",") {
		part = strings.TrimSpace(part)
		own, rest, found := strings.Cut(part, "://")
		switch {
		case !found:
			rest = part
		case own != scheme:
			return Options{}, errors.New("nats: some of the servers are nats:// and some are not; TLS is for all or for none")
		}
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			if i > 0 && rest[:at] != login {
				return Options{}, errors.New("nats: the servers have different credentials; write them once, before the first server")
			}
			login, rest = rest[:at], rest[at+1:]
		}
		o.Servers = append(o.Servers, scheme+"://"+rest)
	}
	if err := o.setLogin(login); err != nil {
		return Options{}, err
	}
	files, err := o.setParams(query)
	if err != nil {
		return Options{}, err
	}
	if err := o.readTLS(files); err != nil {
		return Options{}, err
	}
	if _, err := o.checked(); err != nil {
		return Options{}, err
	}
	return o, nil
}

func (o *Options) setLogin(s string) error {
	user, password, both := strings.Cut(s, ":")
	user, err1 := url.PathUnescape(user)
	password, err2 := url.PathUnescape(password)
	if err := errors.Join(err1, err2); err != nil {
		return errors.New("nats: a percent sign in the credentials must be written %25")
	}
	if both {
		o.User, o.Password = user, password
	} else {
		o.Token = user
	}
	return nil
}

// params are the parameters of a URL.
var params = []string{"creds", "nkey", "prefix", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}

// setParams returns those that are of TLS.
func (o *Options) setParams(query string) (map[string]string, error) {
	set := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(value)
		if err != nil {
			return nil, fmt.Errorf("nats: the parameter %.32q is not percent-encoded as it must be", name)
		}
		if !slices.Contains(params, name) {
			return nil, fmt.Errorf("nats: the parameter %.32q is unknown; known are %s", name, strings.Join(params, ", "))
		}
		if _, twice := set[name]; twice {
			return nil, fmt.Errorf("nats: the parameter %s is given twice", name)
		}
		set[name] = decoded
	}
	o.Prefix, o.Creds, o.NKey = set["prefix"], set["creds"], set["nkey"]
	return set, nil
}

func (o *Options) readTLS(files map[string]string) error {
	ca, cert, key := files["ssl_ca_certs"], files["ssl_certfile"], files["ssl_keyfile"]
	if ca == "" && cert == "" && key == "" {
		return nil
	}
	o.TLS = &tls.Config{}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("nats: read ssl_ca_certs: %w", err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("nats: ssl_ca_certs: %s has no certificate in PEM form", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, cmp.Or(key, cert))
		if err != nil {
			return fmt.Errorf("nats: read ssl_certfile and ssl_keyfile: %w", err)
		}
		o.TLS.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// checked fills in the defaults; its errors say what to change.
func (o Options) checked() (Options, error) {
	if len(o.Servers) == 0 {
		o.Servers = []string{"nats://localhost:4222"}
	}
	o.Prefix = cmp.Or(o.Prefix, "teahouse")
	secured := strings.HasPrefix(o.Servers[0], "tls://")
	servers := make([]string, len(o.Servers))
	for i, s := range o.Servers {
		var err error
		if servers[i], err = server(s); err != nil {
			return Options{}, err
		}
		if secured != strings.HasPrefix(s, "tls://") {
			return Options{}, errors.New("nats: some of the servers are tls:// and some are not; TLS is for all or for none")
		}
	}
	o.Servers = servers
	ways := 0
	for _, way := range []string{o.User + o.Password, o.Token, o.Creds, o.NKey} {
		if way != "" {
			ways++
		}
	}
	switch {
	case ways > 1:
		return Options{}, errors.New("nats: there are several ways to log in; choose one of user:password, a token, creds and nkey")
	case !legalPrefix(o.Prefix):
		return Options{}, fmt.Errorf("nats: the prefix is %.32q; it may have letters, digits, hyphens and underscores, and periods between them", o.Prefix)
	case o.TLS != nil && !secured:
		return Options{}, errors.New("nats: TLS is configured, but the servers are nats://; write tls://")
	}
	return o, nil
}

// server understands one of Options.Servers and adds the default port.
func server(s string) (string, error) {
	scheme, rest, _ := strings.Cut(s, "://")
	if scheme != "nats" && scheme != "tls" {
		return "", fmt.Errorf("nats: the scheme %.32q is unknown; known are nats and tls", scheme)
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, "/@,? ") {
		return "", fmt.Errorf("nats: a server of %s:// has more than a host and a port", scheme)
	}
	if rest == "" {
		return "", errors.New("nats: a host is missing; write for example nats://localhost:4222")
	}
	name, port := rest, "4222"
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, ']') {
		name, port = rest[:colon], rest[colon+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("nats: the port %.32q is not a number from 1 to 65535", port)
	}
	if inner, ok := strings.CutPrefix(name, "["); ok && strings.HasSuffix(inner, "]") {
		name = strings.TrimSuffix(inner, "]")
	} else if strings.Contains(name, ":") {
		return "", errors.New("nats: an IPv6 address needs brackets, [::1]:4222")
	}
	return scheme + "://" + net.JoinHostPort(cmp.Or(name, "localhost"), port), nil
}
