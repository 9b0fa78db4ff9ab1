package server

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// An origin is one of Config.Origins.
type origin struct {
	text string
	// host has the form in which browsers send it: in small letters, without the
	// scheme's default port.
	host string
	// name is host without a port.
	name string
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
	}
	if why := neverSent(at); why != "" {
		return refused(why)
	}
	switch {
	case at.Scheme == "http" && !isLoopbackHost(at.Host):
		return refused("is not https: whoever is on the way could take the cookie")
	}
	o := &origin{
		host:       strings.TrimSuffix(strings.ToLower(at.Host), port),
		secure:     at.Scheme == "https",
		protection: http.NewCrossOriginProtection(),
	}
	o.name = strings.TrimSuffix(o.host, ":"+at.Port())
	o.text = at.Scheme + "://" + o.host
	return o, o.protection.AddTrustedOrigin(o.text)
}

// neverSent says why no browser ever makes a request for an origin. It returns an empty
// text if browsers do.
func neverSent(at *url.URL) string {
	name, port := at.Hostname(), at.Port()
	isOther := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	}
	right := at.Scheme + "://" + strings.TrimSuffix(at.Host, ":"+port)
	number, err := strconv.Atoi(port)
	switch {
	case strings.Contains(name, "*"):
		return "is of no host: each host must be named by itself"
	case strings.ContainsFunc(name, func(c rune) bool { return c > '~' }):
		return "is not as browsers send it: its host must be in ASCII, like https://xn--bcher-kva.example for https://bücher.example"
	case net.ParseIP(name) == nil && (strings.ContainsFunc(name, isOther) || strings.HasPrefix(name, ".") || strings.Contains(name, "..")):
		return "is of no host: its name must have letters, digits, hyphens and dots"
	case port == "" && strings.HasSuffix(at.Host, ":"):
		return "has a colon and no port: it must be " + right
	case port != "" && (err != nil || number < 1 || number > 65535):
		return "is of no port: it must be from 1 to 65535"
	case port != "" && strconv.Itoa(number) != port:
		return "is not as browsers send it: it must be " + right + ":" + strconv.Itoa(number)
	}
	return ""
}

// An origins knows the origins by which browsers know this server.
type origins struct {
	public []*origin
	// trusted says that every Host is right.
	trusted bool
	// own protects origins that are not in public.
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
		if host == public.name {
			return public
		}
	}
	return nil
}

// check refuses a request unless it is certain for which origin the browser made it.
// Otherwise another site might replace the cookie, or pass for this one. A hostile page
// can point its own name at this server (DNS rebinding). Then the Host has that name.
func (o origins) check(r *http.Request) error {
	const setting = "Config.Origins, or the flag -origin, must name the origin that browsers know it by, such as https://example.com"
	refused := func(format string, a ...any) error {
		return problem{http.StatusMisdirectedRequest, "origin", fmt.Sprintf(format, a...)}
	}
	public := o.find(r)
	switch {
	case public != nil && public.secure || o.trusted && len(o.public) == 0:
		return nil
	case len(o.public) > 0 && public == nil:
		var names []string
		for _, public := range o.public {
			names = append(names, public.text)
		}
		return refused("the request is for the host %q, and this server answers for %s: what passes requests on to it must keep their Host (in nginx, proxy_set_header Host $host), or "+setting,
			r.Host, strings.Join(names, ", "))
	case public == nil && r.TLS == nil && !isLoopbackHost(r.Host):
		return refused("the request is for the host %q, and this server answers to localhost, 127.0.0.1 and [::1] only: "+setting, r.Host)
	case isForwarded(r):
		// This also refuses an origin of this machine that was named beside a public
		// one: a proxy that does not keep Host calls this server so.
		return refused("the request is for the host %q, and something has passed it on to this server from elsewhere: that must keep the Host of what it passes on, and "+setting, r.Host)
	}
	return nil
}

// isForwarded reports whether something has passed the request on, so that Host may not
// be what the browser asked for.
func isForwarded(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	// nginx adds none of these headers by default. But then it speaks HTTP/1.0, which no
	// browser does.
	if !r.ProtoAtLeast(1, 1) {
		return true
	}
	// The browser says that the page and the server have one origin. If that has
	// another host than Host, something has changed Host.
	from, err := url.Parse(r.Header.Get("Origin"))
	return err == nil && from.Host != "" && !isLoopbackHost(from.Host) && !strings.EqualFold(from.Host, r.Host) &&
		r.Header.Get("Sec-Fetch-Site") == "same-origin"
}

// secure reports whether the browser speaks https, to this server or to a proxy before
// it.
func (o origins) secure(r *http.Request) bool {
	if public := o.find(r); public != nil && public.secure {
		return true
	}
	return r.TLS != nil || o.trusted && !isLoopbackHost(r.Host)
}

// isCrossOrigin reports whether another site has made the browser make a
// request.
func (o origins) isCrossOrigin(r *http.Request) bool {
	found := o.find(r)
	if found == nil {
		return o.own.Check(r) != nil
	}
	if found.protection.Check(r) == nil {
		return false
	}
	// Several origins may have a Host without a port. Of browsers that send no
	// Sec-Fetch-Site, only Origin tells which is meant.
	for _, public := range o.public {
		if public.name == strings.ToLower(r.Host) && public.secure == found.secure && public.text == r.Header.Get("Origin") {
			return r.Header.Get("Sec-Fetch-Site") != ""
		}
	}
	return true
}

// isLoopbackHost reports whether a Host field, with or without a port, names localhost
// or a loopback address. Any port will do, because a tunnel has another than the server.
func isLoopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.EqualFold(name, "localhost") || net.ParseIP(name).IsLoopback()
}
