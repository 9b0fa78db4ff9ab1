package session

import (
	"context"
	"errors"
	"iter"
	"strconv"

	"github.com/session-interop/session-writer/internal/encode"
	"github.com/session-interop/session-writer/internal/engine"
)

// A Writer saves entries into a session. It is the Go edition of the PHP
// interface session-interop/session-writer-interop, whose one method, save,
// promises to save the entries without removing what is not among them, to
// ensure the saving, and to leave the session at its previous state. The
// interface is immutable: it will not gain a method.
//
// Whoever implements Writer MUST keep these nine rules, and can check that
// with package writertest:
//
//  1. Merge. Each key among the entries takes its new value. Every other key
//     keeps the one it had.
//  2. Whole. All entries are saved or none: after an error the session is what
//     it was, and no reader, in this process or another, ever sees part of a
//     batch.
//  3. Ensured. When Save returns nil, the storage has accepted the entries and
//     a load through the same storage returns them. An implementation MUST
//     document what its storage survives: a closed tab, a killed process, a
//     power cut.
//  4. State kept. An open session is open after Save, a closed one closed:
//     Save on a closed session saves and leaves it closed.
//  5. Immutable. Save changes and keeps nothing that it was given; a Writer's
//     configuration is fixed when it is made; a Writer is safe for concurrent
//     use.
//  6. Last wins. Of equal keys in one batch the last counts. Saves of one
//     Writer apply in order. Of saves by several Writers, one that was made
//     after seeing another wins over it; of two made at once, the same one
//     wins for every reader.
//  7. Empty is nothing. An empty batch succeeds and writes nothing.
//  8. Keys and values. A key is non-empty valid UTF-8, of any characters. A
//     value is anything that JSON can say; nil is saved as null, which is not
//     the same as absent. What cannot be saved is refused with an error that
//     names the key, before anything is written.
//  9. Cancelled. A context that is done before the commit means its error and
//     nothing saved.
//
// The rules are those of the PHP interface's documentation, made precise; its
// reference code breaks some of them.
type Writer interface {
	// Save saves the entries, all of them or none, and leaves every other
	// entry of the session as it is. A map is saved with
	// w.Save(ctx, maps.All(m)).
	//
	// It returns an *EntryError when a key or a value cannot be saved, the
	// context's error when the context was done first, and otherwise the
	// storage's: ErrQuota when it is full, ErrDisabled when it is switched off
	// or forbidden. After any of them nothing has been saved.
	Save(ctx context.Context, entries iter.Seq2[string, any]) error
}

// What went wrong, for errors.Is. The errors that are returned say more: the
// session, the call, the key.
var (
	// ErrQuota means that the storage has no room for what was to be saved.
	ErrQuota error = engine.ErrQuota
	// ErrDisabled means that the storage is switched off, forbidden to this
	// page or program, or not there at all.
	ErrDisabled error = engine.ErrDisabled
	// ErrKey means that a key is empty or not valid UTF-8.
	ErrKey = encode.ErrKey
	// ErrValue means that a value, or what was given for the entries, cannot
	// be saved as JSON.
	ErrValue = encode.ErrValue
	// ErrClosed means that a session was closed, so nobody can subscribe to it.
	ErrClosed = errors.New("the session is closed")
	// ErrConfig means that a session name or a Config is not acceptable.
	ErrConfig = errors.New("invalid configuration")
)

// An EntryError reports the one entry for which a call failed.
type EntryError struct {
	// Key is the key as it was given, so it may be empty or invalid UTF-8.
	Key string
	// Err says what is wrong. For an entry that cannot be saved it wraps ErrKey or
	// ErrValue, and for one that a server has no room for ErrQuota. For a value that
	// Get cannot decode it is the error of encoding/json.
	Err error
}

// Error says which key was refused and why, as in
//
//	key "user": unsupported value: NaN
func (e *EntryError) Error() string { return "key " + strconv.Quote(e.Key) + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *EntryError) Unwrap() error { return e.Err }
