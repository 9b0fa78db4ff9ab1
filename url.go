package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/session-interop/session-writer/internal/encode"
)

// An Opened session can be saved into, read, emptied and closed, wherever it is kept. It
// is what OpenURL returns. A *Session is one.
//
// Save and the others work after Close, too: rule 4 of Writer asks for it.
type Opened interface {
	Writer
	Reader
	// Remove removes entries, all of them or none, as one batch. Removing a key that
	// is not there is no error.
	Remove(ctx context.Context, keys ...string) error
	// Clear removes all entries that were saved before.
	Clear(ctx context.Context) error
	io.Closer
}

var _ Opened = (*Session)(nil)

// OpenURL opens the session that a URL names, so that a program's configuration can say
// where it is kept:
//
//	memory:///cart?maxAge=1h                       in this process
//	local:///cart                                  in localStorage
//	tab:///cart                                    in sessionStorage
//	sqlite:sessions.db?session=cart&owner=ada      in a SQLite file
//	postgres://app@db/app?session=cart&owner=ada   in PostgreSQL
//	https://example.com/sessions/?session=cart     on a server
//
// Only memory is there by itself. Importing a package registers the others:
// wasm/localstorage registers local and tab, web/opensqlite sqlite, web/openpostgresql
// postgres, and web/client https. Each package documents its URLs. RegisterOpener adds
// schemes of a program's own.
//
// In memory, all sessions of one name are the same session. It lasts as long as the process,
// also when nobody has it open. The parameter maxAge is Config.MaxAge, in the form of
// time.ParseDuration.
//
// Names and values are percent-encoded. In a parameter, + is a space.
//
// The whole URL is checked before anything is opened or made. The error then wraps
// ErrConfig, names everything that is wrong, and says what would be right. Otherwise it is
// that of whoever opens the session, such as ErrDisabled. No error of this package has a
// URL's password.
func OpenURL(ctx context.Context, text string) (Opened, error) {
	open, err := parseURL(text)
	if err != nil {
		return nil, fmt.Errorf("session URL %q: %w: %w", withoutSecrets(text), ErrConfig, err)
	}
	var s Opened
	if err = ctx.Err(); err == nil {
		s, err = open(ctx)
	}
	if err == nil && s == nil {
		err = errors.New("its Opener has opened nothing")
	}
	if err != nil {
		return nil, fmt.Errorf("session URL %q: %w", withoutSecrets(text), err)
	}
	return s, nil
}

// An Opener reads a URL and returns how to open the session that it names. It takes the
// URL's parameters and refuses what is wrong by the methods of URL. It opens and makes
// nothing: the function that it returns does that, and is called only if nothing was
// refused, neither by the Opener nor by OpenURL.
type Opener func(u *URL) (open func(ctx context.Context) (Opened, error))

// StorageOpener returns the Opener of URLs like memory:///cart?maxAge=1h, whose path is the
// name of a session in the Storage that open returns.
func StorageOpener(open func() (Storage, error)) Opener {
	return func(u *URL) func(context.Context) (Opened, error) {
		if u.Host != "" || u.User != nil {
			u.Refuse("it has a host: it must be like " + u.Scheme + ":///cart, with three slashes")
		}
		name, config := u.NameInPath(), Config{MaxAge: u.MaxAge()}
		return func(ctx context.Context) (Opened, error) {
			storage, err := open()
			if err != nil {
				return nil, err
			}
			return Open(ctx, storage, name, config)
		}
	}
}

// RegisterOpener has OpenURL open the URLs of a scheme: letters, digits, +, - and .,
// beginning with a letter (RFC 3986, section 3.1). Packages call it from init.
//
// It neither panics nor returns an error. A mistake is an error of OpenURL for
// every URL of that scheme: a scheme that was registered twice, or a nil Opener. So two
// packages that want the same scheme stop only those programs that use it.
func RegisterOpener(scheme string, opener Opener) {
	scheme = strings.ToLower(scheme)
	openers.Lock()
	defer openers.Unlock()
	openers.of[scheme] = append(openers.of[scheme], opener)
}

// openers has all that were registered for a scheme. There should be one.
var openers = struct {
	sync.RWMutex
	of map[string][]Opener
}{of: map[string][]Opener{
	"memory": {StorageOpener(func() (Storage, error) { return processMemory, nil })},
}}

// processMemory is where the sessions of memory: are.
var processMemory = NewMemory()

// registrants are our packages by the schemes that they register.
var registrants = map[string]string{
	"local":  "wasm/localstorage",
	"tab":    "wasm/localstorage",
	"sqlite": "web/opensqlite",
	"https":  "web/client",
	"http":   "web/client",

	"postgres":   "web/openpostgresql",
	"postgresql": "web/openpostgresql",
}

// openerOf returns the Opener of a scheme.
func openerOf(scheme string) (Opener, error) {
	openers.RLock()
	defer openers.RUnlock()
	of, there := openers.of[scheme]
	switch {
	case !there:
		err := fmt.Errorf("unknown scheme %q: there are %s", scheme, strings.Join(slices.Sorted(maps.Keys(openers.of)), ", "))
		if by := registrants[scheme]; by != "" {
			err = fmt.Errorf("%w: import _ %q for %s", err, "github.com/session-interop/session-writer/"+by, scheme)
		}
		return nil, err
	case len(of) > 1:
		return nil, fmt.Errorf("the scheme %q was registered %d times: which is meant?", scheme, len(of))
	case of[0] == nil:
		return nil, fmt.Errorf("the scheme %q was registered with a nil Opener", scheme)
	}
	return of[0], nil
}

// parseURL returns how to open what a URL names, or everything that is wrong with it.
func parseURL(text string) (func(context.Context) (Opened, error), error) {
	scheme := schemeOf(text)
	if scheme == "" {
		return nil, errors.New("it has no scheme: it must be like memory:///cart")
	}
	opener, err := openerOf(scheme)
	if err != nil {
		return nil, err
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, unparsable(text, err)
	}
	u := &URL{URL: parsed}
	if parsed.Fragment != "" {
		u.Refuse("it has a fragment: # in a name or a value is written %23")
	}
	if u.given, err = url.ParseQuery(parsed.RawQuery); err != nil {
		// The error has a part of the query, which may be a password.
		return nil, errors.New("its parameters cannot be read: they must be like a=1&b=2, with %25 for % and %3B for ;")
	}
	open := opener(u)
	u.refuseUnknown()
	switch {
	case len(u.problems) > 0:
		return nil, errors.New(strings.Join(u.problems, "; "))
	case open == nil:
		return nil, fmt.Errorf("the Opener of the scheme %q returned nil", scheme)
	}
	return open, nil
}

// schemeOf returns the scheme of a URL in small letters, or an empty text.
func schemeOf(text string) string {
	scheme, _, found := strings.Cut(text, ":")
	isOther := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.'
	}
	scheme = strings.ToLower(scheme)
	if !found || strings.ContainsFunc(scheme, isOther) || strings.Trim(scheme[:min(1, len(scheme))], "+-.0123456789") == "" {
		return ""
	}
	return scheme
}

// unparsable says why a URL cannot be parsed. The errors of net/url have parts of the URL,
// and what follows an unescaped slash in a password passes for a port.
func unparsable(text string, err error) error {
	why := "its host or its characters are not those of a URL"
	var wrapped *url.Error
	var escape url.EscapeError
	switch {
	case errors.As(err, &escape):
		why = "it has a % that no two hexadecimal digits follow: % itself is written %25"
	case strings.Contains(text, "@"):
		why = "in a user or a password, % is written %25, / %2F, ? %3F, # %23, : %3A, @ %40"
	case errors.As(err, &wrapped):
		why = wrapped.Err.Error()
	}
	return fmt.Errorf("it cannot be parsed: %s", why)
}

// withoutSecrets returns a URL without its parameters, and without what may be a user and
// a password. A password that is not percent-encoded as it must be stays out, too.
func withoutSecrets(text string) string {
	scheme, rest := "", text
	if s := schemeOf(text); s != "" {
		scheme, rest = text[:len(s)+1], text[len(s)+1:]
	}
	shown := rest
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		shown = rest[:end]
	}
	authority, hasAuthority := strings.CutPrefix(rest, "//")
	if at := strings.LastIndexByte(shown, '@'); at >= 0 {
		shown = "//..." + shown[at:]
	} else if strings.Contains(rest, "@") && (scheme == "" || hasAuthority && !strings.HasPrefix(authority, "/")) {
		shown = "//..." // the ? may be one of the password
	}
	return scheme + shown
}

// A URL is what an Opener reads. Its methods take the parameters of the query. What no
// method has taken is refused as unknown.
type URL struct {
	*url.URL

	given    url.Values
	taken    []string
	problems []string
}

// Refuse notes what is wrong with the URL, and says what would be right. It may be called
// several times. No problem should repeat what may be a password.
func (u *URL) Refuse(problem string) { u.problems = append(u.problems, problem) }

// Parameter takes a parameter, and reports whether it was given. It refuses one that was
// given twice.
func (u *URL) Parameter(name string) (value string, given bool) {
	u.taken = append(u.taken, name)
	values := u.given[name]
	if len(values) > 1 {
		u.Refuse(fmt.Sprintf("parameter %q: it is given %d times, must be given once", name, len(values)))
	}
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

// MaxAge takes the parameter maxAge. It is Config.MaxAge, in the form of
// time.ParseDuration.
func (u *URL) MaxAge() time.Duration {
	text, given := u.Parameter("maxAge")
	if !given {
		return 0
	}
	age, err := time.ParseDuration(text)
	if err != nil || age != 0 && age < time.Millisecond {
		u.Refuse(fmt.Sprintf("parameter \"maxAge\": it is %q, must be like 90s, 30m or 720h, of 1ms at least, or 0", text))
		return 0
	}
	return age
}

// NameInPath returns the path without its first slash, which is the session's name. It
// refuses what is no name.
func (u *URL) NameInPath() string {
	like := u.Scheme + "://" + u.Host + "/cart"
	return u.checkName(strings.TrimPrefix(u.Path, "/"), "path: ", "it must be like "+like)
}

// NameInQuery takes the parameter session, which is required, as the session's name. It is
// for URLs whose path means something else.
func (u *URL) NameInQuery() string {
	name, given := u.Parameter("session")
	if !given && len(u.given["session"]) > 1 {
		return ""
	}
	return u.checkName(name, `parameter "session": `, "it must be there, like session=cart")
}

// checkName refuses what is no name. where begins the problem, and right says what to write
// in place of none.
func (u *URL) checkName(name, where, right string) string {
	err := encode.CheckName(name)
	switch {
	case err == nil:
		return name
	case name == "":
		u.Refuse(where + "it names no session: " + right)
	default:
		u.Refuse(where + err.Error())
	}
	return ""
}

// Rest takes all parameters that were not taken yet. It is for schemes whose URLs others
// read as well, such as a driver of a database.
func (u *URL) Rest() url.Values {
	rest := make(url.Values)
	for name, values := range u.given {
		if !slices.Contains(u.taken, name) {
			rest[name] = values
			u.taken = append(u.taken, name)
		}
	}
	return rest
}

// refuseUnknown refuses the parameters that nobody took.
func (u *URL) refuseUnknown() {
	known := "there are none"
	if len(u.taken) > 0 {
		known = "there are " + strings.Join(u.taken, ", ")
	}
	for _, name := range slices.Sorted(maps.Keys(u.given)) {
		if slices.Contains(u.taken, name) {
			continue
		}
		unknown := "an unknown parameter"
		if isWord(name) { // anything else may be part of a password that is not encoded
			unknown = "unknown parameter " + strconv.Quote(name)
		}
		u.Refuse(unknown + ": " + known)
	}
}

// isWord reports whether a text has letters, digits, -, _ and . only.
func isWord(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.", c)
	})
}
