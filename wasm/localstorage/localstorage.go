// Package localstorage is the browser's Web Storage, localStorage and
// sessionStorage, as a session.Storage for Go programs compiled for GOOS=js. On
// other platforms there is none: Local and Session then return an error that wraps
// session.ErrDisabled, so that a program that runs on both needs no build tags.
//
//	storage, err := localstorage.Local()
//	...
//	s, err := session.Open(ctx, storage, "cart", session.Config{})
//
// What is saved in localStorage survives closing the tab and the browser. A
// browser that is killed loses what it has not written to disk yet, which in
// Chromium may be the last 40 seconds and more; what is left is whole batches.
// sessionStorage lasts as long as the tab and is shared with nobody but its
// frames of the same origin.
//
// A few caveats:
//   - Both are full at 5,242,880 UTF-16 code units of keys and texts for an
//     origin, in Chromium and Firefox: session.ErrQuota.
//   - Workers, sandboxed frames, and pages for which the user has forbidden it have
//     neither: session.ErrDisabled.
//   - They keep lone surrogates, which Go strings cannot hold: Go reads U+FFFD in
//     their place.
package localstorage

import (
	"strings"

	session "github.com/session-interop/session-writer"
)

// Local returns window.localStorage, which is a session.Watcher, too. The
// error wraps session.ErrDisabled.
func Local() (session.Storage, error) { return open("localStorage") }

// Session returns window.sessionStorage, as Local does.
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
// js/src/storage.js as well.
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
