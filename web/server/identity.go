package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/session-interop/session-writer/web/sqlstore"
)

// A visitor is the maker of a request.
type visitor struct {
	// id is the owner's id. It is empty for somebody unknown.
	id string
	// user says that Config.Identify named him.
	user bool
	// secret is that of his device, which is in its cookie.
	secret string
	// device is the device's ID. It is empty if there is none of that secret yet.
	device string
	// stale says that the browser has to get a new cookie with the secret.
	stale bool
	// news says that another device was added, and that this one was not told yet.
	news bool
	// ended says that who is unknown was an owner: his device has no access any more.
	ended bool
}

// newSecret returns a random secret of a device.
func newSecret() string {
	var random [idBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// admit makes an owner of somebody unknown.
func (s *sessions) admit(ctx context.Context, r *http.Request) (visitor, error) {
	if err := s.checkCookies(r); err != nil {
		return visitor{}, err
	}
	if s.Admit != nil {
		if err := s.Admit(r); err != nil {
			s.ErrorLog.Printf("admit: %v", err)
			return visitor{}, problem{http.StatusForbidden, "admission", "this server keeps nothing for somebody unknown now"}
		}
	}
	id := sqlstore.NewVisitor()
	if err := s.DB.AddOwner(ctx, id); err != nil {
		return visitor{}, err
	}
	return s.addDevice(ctx, r, "make", sqlstore.Added{Owner: id})
}

// addDevice adds the device that a request is from, by a new secret.
func (s *sessions) addDevice(ctx context.Context, r *http.Request, event string, a sqlstore.Added) (visitor, error) {
	// In a Worker, what has a comma is several values (github.com/syumai/workers splits them).
	agent := strings.Join(r.Header.Values("User-Agent"), ",")
	a.Secret, a.Name, a.Lifetimes = newSecret(), deviceName(agent), s.lifetimes()
	device, err := s.DB.AddDevice(ctx, a)
	if err != nil {
		return visitor{}, err
	}
	who := visitor{id: a.Owner, user: a.User, secret: a.Secret, device: device, stale: true}
	s.audit(r, event, who)
	return who, nil
}

// checkCookies refuses a request with several cookies. A further cookie would not help,
// because its browser would still be unknown.
func (s *sessions) checkCookies(r *http.Request) error {
	if name := s.cookieName(r, false); countCookies(r, name) > 1 {
		return problem{http.StatusBadRequest, "cookie", "there are several cookies " + name + ": all must be deleted"}
	}
	return nil
}

// countCookies returns how many cookies of a name there are. It counts malformed ones,
// too, which net/http drops.
func countCookies(r *http.Request, name string) (count int) {
	for _, line := range r.Header["Cookie"] {
		for cookie := range strings.SplitSeq(line, ";") {
			if is, _, _ := strings.Cut(cookie, "="); strings.TrimSpace(is) == name {
				count++
			}
		}
	}
	return count
}

const idBytes = 16

// identify returns whoever makes a request: a user, or else a visitor.
func (s *sessions) identify(r *http.Request) (visitor, error) {
	user, err := s.user(r)
	switch {
	case err != nil:
		return visitor{}, err
	case user != "":
		return s.ofUser(r, user)
	}
	return s.visitor(r)
}

// ofUser returns a user, with the device that he uses, if that has a cookie.
func (s *sessions) ofUser(r *http.Request, user string) (visitor, error) {
	who, ok := s.readCookie(r, true)
	if !ok {
		return visitor{id: user, user: true}, nil
	}
	known, found, err := s.DB.FindDevice(r.Context(), who.secret, s.lifetimes())
	switch {
	case err != nil:
		return visitor{}, err
	case !found || !known.User || known.Owner != user:
		return visitor{id: user, user: true}, nil
	case known.Ended:
		return visitor{}, ended
	}
	who.id, who.device, who.news = user, known.ID, known.News
	return who, nil
}

// ended refuses a user's device that was revoked, or was not here for too long.
var ended = problem{http.StatusUnauthorized, "device", "this device has no access any more: sign in again"}

func (s *sessions) lifetimes() sqlstore.Lifetimes {
	return sqlstore.Lifetimes{Idle: s.Idle, Absolute: s.Lifetime}
}

// user returns the id of the user who makes a request, or an empty one.
func (s *sessions) user(r *http.Request) (id string, err error) {
	if s.Identify == nil {
		return "", nil
	}
	id, err = s.Identify(r)
	if err == nil && sqlstore.IsVisitor(id) {
		err = errors.New("the id of a user must not begin as those that NewVisitor makes")
	}
	if err != nil {
		s.ErrorLog.Printf("identify: %v", err)
		return "", signIn
	}
	return id, nil
}

// signIn refuses whom Config.Identify does.
var signIn = problem{http.StatusUnauthorized, "identity", "it is not known whose session this is: sign in"}

// visitor returns the visitor whose cookie a request has.
func (s *sessions) visitor(r *http.Request) (visitor, error) {
	who, ok := s.readCookie(r, false)
	if !ok {
		return visitor{}, nil
	}
	// A secret that was not made here may be an attacker's, set to share a session.
	known, found, err := s.DB.FindDevice(r.Context(), who.secret, s.lifetimes())
	if err != nil || !found || known.User {
		return visitor{}, err
	}
	if known.Ended {
		return visitor{ended: true}, nil
	}
	who.id, who.device, who.news = known.Owner, known.ID, known.News
	return who, nil
}

// readCookie returns what the cookie of a request says, a user's or a visitor's. If there are
// two cookies, none counts: another host may have set one, and nobody can tell which.
func (s *sessions) readCookie(r *http.Request, user bool) (who visitor, ok bool) {
	name := s.cookieName(r, user)
	cookie, err := r.Cookie(name)
	if err != nil || countCookies(r, name) > 1 {
		return visitor{}, false
	}
	who, ok = parseCookie(cookie.Value, today())
	who.user = user
	return who, ok
}

// The value of the cookie is the device's secret, a hyphen, and the day on which it was set, counted
// from 1970. The day tells when the cookie must be set again to last, and nothing else
// depends on it. To set the cookie in each response would do harm: a response that is
// under way while the browser joins another device would undo that.

const (
	renewAfter = 7 // days
	dayLength  = 24 * time.Hour
)

func today() int64 { return time.Now().Unix() / int64(dayLength/time.Second) }

// parseCookie reads the value of a cookie. It is not ok unless the value has exactly the
// form in which it was set.
func parseCookie(value string, today int64) (who visitor, ok bool) {
	secret, digits, _ := strings.Cut(value, "-")
	random, err := hex.DecodeString(secret)
	if err != nil || len(random) != idBytes || secret != strings.ToLower(secret) {
		return visitor{}, false
	}
	day, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || day < 0 || strconv.FormatInt(day, 10) != digits {
		return visitor{}, false
	}
	return visitor{secret: secret, stale: day > today || day <= today-renewAfter}, true
}

// cookieName returns the name of the cookie. A user has another than a visitor, because
// somebody who signs out is the visitor again that he was. Only this host can set one of the
// prefix __Host-, and only by https. On this machine http is as safe, and https may be missing.
func (s *sessions) cookieName(r *http.Request, user bool) string {
	name := "session-writer"
	if user {
		name += "-user"
	}
	if s.origins.secure(r) {
		return "__Host-" + name
	}
	return name
}

// remember sets the cookie if the browser needs a new one.
func (s *sessions) remember(w http.ResponseWriter, r *http.Request, who visitor) {
	if who.stale {
		s.setCookie(w, r, who.user, who.secret+"-"+strconv.FormatInt(today(), 10), int(sqlstore.KeptFor/time.Second))
	}
}

// setCookie sets the cookie for some seconds. If they are negative, it has the browser drop it.
func (s *sessions) setCookie(w http.ResponseWriter, r *http.Request, user bool, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name:     s.cookieName(r, user),
		Value:    value,
		Path:     "/",
		MaxAge:   seconds,
		Secure:   s.origins.secure(r),
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
}
