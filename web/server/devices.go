package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// A Device is a browser, or another client that keeps cookies, under its owner. A user's gets
// its cookie with his first exchange, or by Adopt, and is one once it comes with that.
type Device struct {
	sqlstore.Device
	// Current says that it makes the request.
	Current bool
}

// errNobody means that a request is nobody's who has devices.
var errNobody = problem{http.StatusUnauthorized, "identity", "it is not known whose devices these are: nobody is signed in, and there is no cookie"}

// known returns who makes a request, or errNobody.
func (s *sessions) known(r *http.Request) (visitor, error) {
	who, err := s.identify(r)
	if err == nil && who.id == "" {
		err = errNobody
	}
	return who, err
}

// issue sets the cookie of a user's device, if it has none yet. Not every client keeps
// cookies, so it is one once it comes with that. A database that is full keeps nobody from his
// sessions.
func (s *sessions) issue(w http.ResponseWriter, r *http.Request, who visitor) error {
	if !who.user || who.device != "" {
		return nil
	}
	issued, err := s.addDevice(r.Context(), r, "make", sqlstore.Added{Owner: who.id, User: true, Pending: true})
	if err == nil {
		s.remember(w, r, issued)
	}
	if errors.Is(err, session.ErrFull) {
		return nil
	}
	return err
}

// Devices returns the devices of whoever makes a request, the first one first. From then on
// this device has been told of them: see Device.New. Error answers with its error.
//
// Devices, Rename, Revoke and Erase refuse a request that another site has made, but for GET.
func (h *Handler) Devices(r *http.Request) ([]Device, error) {
	who, err := h.owns(r)
	var devices []Device
	if err == nil {
		devices, err = h.api.list(r, who)
	}
	if err != nil {
		return nil, fmt.Errorf("devices: %w", err)
	}
	return devices, nil
}

// owns is as known, for a request that a program's handler got.
func (h *Handler) owns(r *http.Request) (visitor, error) {
	if err := h.mayChange(r); err != nil {
		return visitor{}, err
	}
	return h.api.known(r)
}

func (s *sessions) list(r *http.Request, who visitor) ([]Device, error) {
	found, err := s.DB.Devices(r.Context(), who.id, who.device, s.lifetimes())
	var devices []Device
	for _, d := range found {
		devices = append(devices, Device{d, d.ID == who.device})
	}
	return devices, err
}

// Rename names a device of whoever makes a request. The error wraps session.ErrConfig if the
// name is empty or longer than sqlstore.MaxDeviceName, and sqlstore.ErrDevice if he has no
// device of that ID.
func (h *Handler) Rename(r *http.Request, id, name string) error {
	who, err := h.owns(r)
	if err == nil {
		err = h.api.name(r, who, id, name)
	}
	if err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	return nil
}

func (s *sessions) name(r *http.Request, who visitor, id, name string) error {
	err := s.DB.NameDevice(r.Context(), who.id, id, name)
	if err == nil {
		s.audit(r, "rename", visitor{id: who.id, device: id}, slog.String("by", who.device))
	}
	return err
}

// Revoke ends the access of a device of whoever makes a request, in other processes within
// five seconds. Its pages drop what they have exchanged once they exchange again, and are a
// visitor's. Until Logout or Adopt gives a user's device a new id, Open and Devices fail there
// with the code "device": a program with a login of its own has to end that, too. The error
// wraps sqlstore.ErrDevice if there is no device of that ID.
func (h *Handler) Revoke(r *http.Request, id string) error {
	who, err := h.owns(r)
	if err == nil {
		err = h.api.end(r, who, id)
	}
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return nil
}

func (s *sessions) end(r *http.Request, who visitor, id string) error {
	err := s.DB.RevokeDevice(r.Context(), who.id, id)
	if err == nil {
		s.audit(r, "revoke", visitor{id: who.id, device: id}, slog.String("by", who.device))
	}
	return err
}

// Erase removes all entries of all sessions of whoever makes a request, here and on all
// devices once they exchange, and revokes all devices but the one that makes the request. The
// names of sessions, revoked devices without their names, and what his own device is called
// remain for 400 days, so that no device brings entries back. To remove those of one session,
// call its Clear. If Erase fails, it may be called again.
func (h *Handler) Erase(r *http.Request) error {
	who, err := h.owns(r)
	if err == nil {
		err = h.api.erase(r, who)
	}
	if err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	return nil
}

func (s *sessions) erase(r *http.Request, who visitor) error {
	err := s.DB.Erase(r.Context(), who.id, who.device)
	if err == nil {
		s.audit(r, "delete", who)
	}
	return err
}

// Adopt makes the visitor's sessions those of the user who is signed in, merged: a program
// calls it when a login says that they are one. Config.Identify must name the user in this
// request. Config.Combine decides of keys that both have. The browser gets a new id, and its
// pages give what they have not sent to the user when they exchange next. If nobody was known
// by a cookie, only the id is new.
//
// Adopt sets cookies, so it must come before the header is written. It refuses requests that
// another site has made, but for GET. Sessions that were opened before it in the same request
// are not to be used after it. If it fails, some sessions may be given already, each whole, and
// the next call for that user goes on.
//
// If the error wraps session.ErrQuota, the user has no room for one of the sessions, and all
// else is done: the visitor is gone, and the session is given by a later call, once there is
// room. So a program should go on with its login then.
func (h *Handler) Adopt(w http.ResponseWriter, r *http.Request) error {
	if err := h.adopt(w, r); err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	return nil
}

func (h *Handler) adopt(w http.ResponseWriter, r *http.Request) error {
	s := h.api
	if err := h.mayWrite(r); err != nil {
		return err
	}
	if err := s.checkCookies(r); err != nil {
		return err
	}
	user, err := s.user(r)
	if err == nil && user == "" {
		err = errNobody
	}
	if err != nil {
		return err
	}
	guest, err := h.guest(r)
	if err != nil {
		return err
	}
	if heir, _, err := s.DB.Heir(r.Context(), sqlstore.Tag(guest.id)); err != nil {
		return err
	} else if heir != "" && heir != sqlstore.Tag(user) {
		guest = visitor{} // whose sessions are somebody else's since a login that was given up
	}
	adopted := s.DB.Adopt(r.Context(), guest.id, user, s.Combine)
	if adopted != nil && !errors.Is(adopted, session.ErrQuota) {
		return adopted
	}
	if _, err := s.dropUser(r); err != nil {
		return err
	}
	who, err := s.addDevice(r.Context(), r, "adopt", sqlstore.Added{Owner: user, User: true})
	if err != nil {
		return errors.Join(adopted, err)
	}
	s.remember(w, r, who)
	h.leave(w, r)
	return adopted
}

// guest returns the visitor as he is in this request, in which he may have become one.
func (h *Handler) guest(r *http.Request) (visitor, error) {
	find := func() (visitor, error) { return h.api.visitor(r) }
	if v := h.visitOf(r); v != nil {
		return v.whose(find)
	}
	return find()
}

// Logout ends the access of the browser that makes a request: a user's with Config.Identify,
// whose visitor stays the one that he was, and otherwise the visitor's. It must come before the
// header is written. The page should call session.forget for each session, too, which drops
// what is in the browser; otherwise it shows it until its next exchange. Who signs out of a
// device that was revoked may sign in again. Logout refuses requests that another site has
// made, but for GET.
func (h *Handler) Logout(w http.ResponseWriter, r *http.Request) error {
	if err := h.logout(w, r); err != nil {
		return fmt.Errorf("logout: %w", err)
	}
	return nil
}

func (h *Handler) logout(w http.ResponseWriter, r *http.Request) error {
	if err := h.mayWrite(r); err != nil {
		return err
	}
	if h.api.Identify != nil {
		who, err := h.api.dropUser(r)
		if err != nil {
			return err
		}
		if who.id != "" {
			h.api.audit(r, "logout", who)
		}
		h.api.setCookie(w, r, true, "", -1)
		return nil
	}
	who, err := h.guest(r)
	if err != nil || who.id == "" {
		return err
	}
	// The cookie stays, or his pages would take it for lost, and give all to somebody new.
	if err := h.api.DB.RevokeDevice(r.Context(), who.id, who.device); err != nil {
		return err
	}
	h.api.audit(r, "logout", who)
	h.unknown(r)
	return nil
}

// mayChange refuses a request that is not for this server, or that another site has made.
func (h *Handler) mayChange(r *http.Request) error {
	if err := h.api.origins.check(r); err != nil {
		return err
	}
	if h.api.origins.isCrossOrigin(r) {
		return crossOrigin
	}
	return nil
}

// mayWrite also refuses one whose header is written.
func (h *Handler) mayWrite(r *http.Request) error {
	if v := h.visitOf(r); v != nil && v.isWritten() {
		return ErrTooLate
	}
	return h.mayChange(r)
}

// dropUser drops the device that a user's cookie is of, and returns it.
func (s *sessions) dropUser(r *http.Request) (visitor, error) {
	who, ok := s.readCookie(r, true)
	if !ok {
		return visitor{}, nil
	}
	known, found, err := s.DB.FindDevice(r.Context(), who.secret, s.lifetimes())
	if err == nil && found {
		err = s.DB.DropDevice(r.Context(), who.secret)
	}
	return visitor{id: known.Owner, device: known.ID}, err
}

// unknown has the visitor be unknown for the rest of the request.
func (h *Handler) unknown(r *http.Request) {
	if v := h.visitOf(r); v != nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.who, v.admitted, v.asked = visitor{}, visitor{}, true
	}
}

// leave drops the visitor's cookie.
func (h *Handler) leave(w http.ResponseWriter, r *http.Request) {
	h.unknown(r)
	if _, err := r.Cookie(h.api.cookieName(r, false)); !errors.Is(err, http.ErrNoCookie) {
		h.api.setCookie(w, r, false, "", -1)
	}
}

func (s *sessions) devices(w http.ResponseWriter, r *http.Request) error {
	who, err := s.known(r)
	if err != nil {
		return err
	}
	if err := s.issue(w, r, who); err != nil {
		return err
	}
	s.remember(w, r, who)
	return s.answerDevices(w, r, who)
}

// answerDevices answers with the devices of an owner.
func (s *sessions) answerDevices(w http.ResponseWriter, r *http.Request, who visitor) error {
	found, err := s.list(r, who)
	if err != nil {
		return err
	}
	type device struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		First   int64  `json:"first"`
		Last    int64  `json:"last"`
		New     bool   `json:"new"`
		Current bool   `json:"current"`
	}
	devices := []device{}
	for _, d := range found {
		devices = append(devices, device{d.ID, d.Name, d.First.UnixMilli(), d.Last.UnixMilli(), d.New, d.Current})
	}
	answer(w, http.StatusOK, struct {
		Devices []device `json:"devices"`
	}{devices})
	return nil
}

func (s *sessions) rename(w http.ResponseWriter, r *http.Request) error {
	var given struct{ ID, Name string }
	who, err := s.known(r)
	if err == nil {
		err = s.object(w, r, &given)
	}
	if err == nil {
		err = s.name(r, who, given.ID, given.Name)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *sessions) revoke(w http.ResponseWriter, r *http.Request) error {
	var given struct{ ID string }
	who, err := s.known(r)
	if err == nil {
		err = s.object(w, r, &given)
	}
	if err == nil {
		err = s.end(r, who, given.ID)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *sessions) deleteSession(w http.ResponseWriter, r *http.Request) error {
	name, _, err := asked(r.URL)
	if err != nil {
		return err
	}
	who, err := s.known(r)
	if err != nil {
		return err
	}
	if err := s.DB.EraseSession(r.Context(), who.id, name); err != nil {
		return err
	}
	s.audit(r, "delete", who, slog.String("session", name))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *sessions) deleteOwner(w http.ResponseWriter, r *http.Request) error {
	who, err := s.known(r)
	if err == nil {
		err = s.erase(r, who)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// audit tells Config.Audit of an event.
func (s *sessions) audit(r *http.Request, event string, who visitor, more ...slog.Attr) {
	if s.Audit == nil {
		return
	}
	if who.id != "" {
		more = append(more, slog.String("owner", sqlstore.Tag(who.id)))
	}
	if who.device != "" {
		more = append(more, slog.String("device", who.device))
	}
	s.Audit.LogAttrs(r.Context(), slog.LevelInfo, event, more...)
}

// deviceName returns a name for who sends a User-Agent, such as "Firefox on Linux".
func deviceName(agent string) string {
	browser, system := first(agent, browsers), first(agent, systems)
	switch {
	case browser == "" && system == "":
		return "a device"
	case browser == "":
		return "a device with " + system
	case system == "":
		return browser
	}
	return browser + " on " + system
}

// browsers and systems have what tells them in a User-Agent. Many say that they are others,
// too, so the first that is there counts.
var (
	browsers = [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS", "Firefox"},
		{"CriOS", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"Go-http-client", "a program in Go"},
	}
	systems = [][2]string{
		{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"CrOS", "ChromeOS"},
		{"Mac OS X", "macOS"}, {"Linux", "Linux"},
	}
)

func first(agent string, of [][2]string) string {
	for _, known := range of {
		if strings.Contains(agent, known[0]) {
			return known[1]
		}
	}
	return ""
}
