// Package localstorage gives Go programs compiled for GOOS=js the browser's
// localStorage and sessionStorage as a session.Storage. On other platforms, Local and
// Session return an error that wraps session.ErrDisabled. So a program that runs on
// both needs no build tags.
//
//	storage, err := localstorage.Local()
//	...
//	s, err := session.Open(ctx, storage, "cart", session.Config{})
//
// Importing it registers two schemes for session.OpenURL: local:///cart is the session
// "cart" in localStorage, and tab:///cart that in sessionStorage. Both have the parameter
// maxAge, as in local:///cart?maxAge=720h.
//
// What is saved in localStorage survives closing the tab and the browser. A browser
// that is killed loses what it has not written to disk yet: up to the last 41 seconds in
// Chromium, 5 in Firefox and half a second in WebKit, by js/kills/README.md. Whole batches
// are left. Only JavaScript has the option durable, which survives that. A page that opens
// the session with it also keeps what a Go program has saved. sessionStorage lasts as long
// as the tab, which shares it only with its frames of the same origin.
//
// A few caveats:
//   - Chromium and Firefox have room for 5,242,880 UTF-16 code units of an origin's
//     keys and texts. Beyond that, errors wrap session.ErrQuota.
//   - Workers, sandboxed frames, and pages to which the user forbids it have neither
//     storage. Their errors wrap session.ErrDisabled.
//   - Both keep lone surrogates, which Go strings cannot hold. Go reads U+FFFD in
//     their place.
package localstorage

import (
	"strings"

	session "github.com/session-interop/session-writer"
)

func init() {
	session.RegisterOpener("local", session.StorageOpener(Local))
	session.RegisterOpener("tab", session.StorageOpener(Session))
}

// Local returns window.localStorage, which is also a session.Watcher. The error wraps
// session.ErrDisabled.
func Local() (session.Storage, error) { return open("localStorage") }

// Session returns window.sessionStorage, which is also a session.Watcher. The error
// wraps session.ErrDisabled.
func Session() (session.Storage, error) { return open("sessionStorage") }

// A storageError is what the browser said, and what it means.
type storageError struct {
	meaning error
	said    string
}

func (e *storageError) Error() string { return e.meaning.Error() + ": " + e.said }
func (e *storageError) Unwrap() error { return e.meaning }

// meaningOf returns what an exception of that name means when a storage throws it;
// nil when no storage throws such. testdata/exceptions.json has examples, for
// js/src/codes.js as well.
func meaningOf(name string, isDOMException bool) error {
	switch {
	case name == "QuotaExceededError", // also a class of its own, in newer browsers
		name == "NS_ERROR_DOM_QUOTA_REACHED",    // Firefox before 2024
		name == "NS_ERROR_FILE_NO_DEVICE_SPACE": // Firefox, when the disk is full
		return session.ErrQuota
	case isDOMException,
		strings.HasPrefix(name, "NS_ERROR_"): // Firefox, such as for a damaged database
		return session.ErrDisabled
	}
	return nil
}
