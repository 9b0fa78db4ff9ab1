package server

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// An origin is one of Config.Origins.
type origin struct {
	text string
	// host is as browsers write it: in small letters, without the scheme's own
	// port.
	host string
	// secure says that its scheme is https.
	secure     bool
	protection *http.CrossOriginProtection
}

// CheckOrigin returns nil if a text can be among Config.Origins, and otherwise an
// error that says why not.
func CheckOrigin(text string) error {
	_, err := newOrigin(text)
	return err
}

func newOrigin(text string) (*origin, error) {
	at, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	refused := func(why string) (*origin, error) {
		return nil, fmt.Errorf("%q %s", text, why)
	}
	port := map[string]string{"http": ":80", "https": ":443"}[at.Scheme]
	switch {
	case port == "" || at.Hostname() == "":
		return refused("is no origin: it must be like https://example.com")
	case at.User != nil || strings.Trim(at.Path, "/") != "" || at.RawQuery != "" || at.Fragment != "":
		return refused("has more than an origin: scheme, host and port")
	case at.Scheme == "http" && !isLoopbackHost(at.Host):
		return refused("is not https: whoever is on the way could take the cookie")
	}
	o := &origin{
		host:       strings.TrimSuffix(strings.ToLower(at.Host), port),
		secure:     at.Scheme == "https",
		protection: http.NewCrossOriginProtection(),
	}
	o.text = at.Scheme + "://" + o.host
	return o, o.protection.AddTrustedOrigin(o.text)
}

// An origins tells what browsers know this server by.
type origins struct {
	public []*origin
	// trusted says that every Host is right.
	trusted bool
	// own is for what is not in public.
	own *http.CrossOriginProtection
}

func newOrigins(config Config) (origins, error) {
	o := origins{trusted: config.TrustHost, own: http.NewCrossOriginProtection()}
	for _, text := range config.Origins {
		public, err := newOrigin(text)
		if err != nil {
			return origins{}, fmt.Errorf("server: Config.Origins: %w", err)
		}
		o.public = append(o.public, public)
	}
	return o, nil
}

// find returns the public origin that a request is for, or nil.
func (o origins) find(r *http.Request) *origin {
	host := strings.ToLower(r.Host)
	for _, public := range o.public {
		if host == public.host || public.secure && host == public.host+":443" || !public.secure && host == public.host+":80" {
			return public
		}
	}
	// nginx's $host has no port.
	for _, public := range o.public {
		if name, _, err := net.SplitHostPort(public.host); err == nil && host == name {
			return public
		}
	}
	return nil
}

// check refuses a request of which it is not certain for which origin the
// browser made it: that decides whether another site can replace the cookie,
// or be taken for this one. A hostile page can point its own name at this
// server (DNS rebinding); its name gives it away.
func (o origins) check(r *http.Request) error {
	const setting = "Config.Origins, or the flag -origin, must name the origin that browsers know it by, such as https://example.com"
	refused := func(format string, a ...any) error {
		return problem{http.StatusMisdirectedRequest, "origin", fmt.Sprintf(format, a...)}
	}
	switch {
	case len(o.public) > 0:
		if o.find(r) == nil {
			var names []string
			for _, public := range o.public {
				names = append(names, public.text)
			}
			return refused("the request is for the host %q, and this server answers for %s: what passes requests on to it must keep their Host (in nginx, proxy_set_header Host $host), or "+setting,
				r.Host, strings.Join(names, ", "))
		}
	case o.trusted:
	case !isLoopbackHost(r.Host):
		if r.TLS == nil {
			return refused("the request is for the host %q, and this server answers to localhost, 127.0.0.1 and [::1] only: "+setting, r.Host)
		}
	case isForwarded(r):
		return refused("the request is for the host %q, and something has passed it on to this server from elsewhere: "+setting, r.Host)
	}
	return nil
}

// isForwarded reports whether a request for this machine was not made by a
// browser on it, but by something that passes requests on.
func isForwarded(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	// nginx adds none of these unless it is told to. But it speaks HTTP/1.0 then,
	// which no browser does.
	if !r.ProtoAtLeast(1, 1) {
		return true
	}
	// Or a browser says that the page and its server are of one origin, which is
	// not the one of Host.
	from, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && from.Host != "" && !isLoopbackHost(from.Host) && r.Header.Get("Sec-Fetch-Site") == "same-origin"
}

// secure reports whether the browser speaks https: either to this server, or to
// something before it.
func (o origins) secure(r *http.Request) bool {
	if public := o.find(r); public != nil && public.secure {
		return true
	}
	return r.TLS != nil || o.trusted && !isLoopbackHost(r.Host)
}

// isCrossOrigin reports whether another site has made the browser make a
// request.
func (o origins) isCrossOrigin(r *http.Request) bool {
	if public := o.find(r); public != nil {
		return public.protection.Check(r) != nil
	}
	return o.own.Check(r) != nil
}

// isLoopbackHost reports whether a Host field, with or without a port, names
// localhost or a loopback address. The port may be another than the server's:
// it is, behind a tunnel.
func isLoopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.EqualFold(name, "localhost") || net.ParseIP(name).IsLoopback()
}
