package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
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
	// stale says that the browser has to get a new cookie with the id.
	stale bool
}

func newVisitor() visitor {
	var random [idBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	return visitor{hex.EncodeToString(random[:]), true}
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
	who := newVisitor()
	return who, s.DB.AddOwner(ctx, who.id)
}

// checkCookies refuses a request with several cookies. A further cookie would not help,
// because its browser would still be unknown.
func (s *sessions) checkCookies(r *http.Request) error {
	if name := s.cookieName(r); countCookies(r, name) > 1 {
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
	if err != nil || user != "" {
		return visitor{id: user}, err
	}
	return s.visitor(r)
}

// user returns the id of the user who makes a request, or an empty one.
func (s *sessions) user(r *http.Request) (id string, err error) {
	if s.Identify == nil {
		return "", nil
	}
	if id, err = s.Identify(r); err != nil {
		s.ErrorLog.Printf("identify: %v", err)
		return "", signIn
	}
	return id, nil
}

// signIn refuses whom Config.Identify does.
var signIn = problem{http.StatusUnauthorized, "identity", "it is not known whose session this is: sign in"}

// visitor returns the visitor whose cookie a request has. If there are two cookies, none
// counts: another host may have set one, and nobody can tell which.
func (s *sessions) visitor(r *http.Request) (visitor, error) {
	name := s.cookieName(r)
	cookie, err := r.Cookie(name)
	if err != nil || countCookies(r, name) > 1 {
		return visitor{}, nil
	}
	who, ok := parseCookie(cookie.Value, today())
	if !ok {
		return visitor{}, nil
	}
	// An id that was not made here may be an attacker's, set to share a session.
	known, err := s.DB.HasOwner(r.Context(), who.id)
	if err != nil || !known {
		return visitor{}, err
	}
	return who, nil
}

// The value of the cookie is the id, a hyphen, and the day on which it was set, counted
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
	id, digits, _ := strings.Cut(value, "-")
	random, err := hex.DecodeString(id)
	if err != nil || len(random) != idBytes || id != strings.ToLower(id) {
		return visitor{}, false
	}
	day, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || day < 0 || strconv.FormatInt(day, 10) != digits {
		return visitor{}, false
	}
	return visitor{id, day > today || day <= today-renewAfter}, true
}

// cookieName returns the name of the cookie. Only this host can set one of the prefix
// __Host-, and only by https. On this machine http is as safe, and https may be missing.
func (s *sessions) cookieName(r *http.Request) string {
	if s.origins.secure(r) {
		return "__Host-session-writer"
	}
	return "session-writer"
}

// remember sets the cookie if the browser needs a new one.
func (s *sessions) remember(w http.ResponseWriter, r *http.Request, who visitor) {
	if !who.stale {
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name:     s.cookieName(r),
		Value:    who.id + "-" + strconv.FormatInt(today(), 10),
		Path:     "/",
		MaxAge:   int(sqlstore.KeptFor / time.Second),
		Secure:   s.origins.secure(r),
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
}
