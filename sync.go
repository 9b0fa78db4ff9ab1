package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/session-interop/session-writer/internal/engine"
)

// ErrCursor means that a server does not know the cursor that it was sent. It now has
// another session, or none.
var ErrCursor = errors.New("unknown cursor")

// ErrFull means that a server has no room for anything new until something is removed
// there, by whomever. It wraps ErrQuota.
var ErrFull error = full{}

type full struct{}

func (full) Error() string { return "the server is full" }
func (full) Unwrap() error { return ErrQuota }

// An OwnerError means that what was sent belongs to one owner, and the server takes
// the sender for another.
type OwnerError struct {
	// Owner is the tag of the owner that the server takes the sender for. It is empty
	// if the server does not know the sender.
	Owner string
	// Heir is the tag of the heir of the owner whose session was sent: what that one had
	// there is the heir's by now, and what he has here is to be. It is empty if there is none.
	// A server tells so of a visitor who has signed in.
	Heir string
}

// Error says whose session the server has.
func (e *OwnerError) Error() string {
	if e.Owner == "" {
		return "the server does not know whose session this is"
	}
	return "the server has the session of another owner: " + e.Owner
}

// A StampError means that something has a stamp too far in the future for the
// server.
type StampError struct {
	// Latest is the latest time that the server accepts in a stamp.
	Latest time.Time
	// Newest is the greatest acceptable stamp that the server has of the session. It
	// is empty if there is none.
	Newest string
}

// Error says which time is the latest.
func (e *StampError) Error() string {
	return fmt.Sprintf("a stamp from the future: later than %s", e.Latest.UTC().Format(time.RFC3339))
}

// Sent is what a session sends to a Replica.
type Sent struct {
	// Owner is the tag of the session's owner, as the replica told it. If it is empty,
	// the replica only tells the owner, and merges and gives nothing. Items then says
	// whether the sender has something to keep: it is empty if not.
	Owner string
	// Cursor is the one that the replica gave in the last exchange. It is empty if
	// the sender has nothing of what the replica has.
	Cursor string
	// Items is a JSON array of items, or empty.
	Items string
	// Now is the time by the sender's clock, in milliseconds since 1970. It is 0 if
	// some stamps were made anew, and so are not by that clock.
	Now int64
	// MaxAge is how long after its last save the session is over, in milliseconds. It
	// is 0 if the session never is.
	MaxAge int64
}

// Received is what a Replica sends back.
type Received struct {
	// Owner is the tag of the session's owner.
	Owner string
	// Cursor is for the next exchange.
	Cursor string
	// Item is one item with what was merged since the cursor that was sent, or
	// empty.
	Item string
	// Complete says that Item has all that there is, with what was sent. Item then
	// replaces what was sent, and what was exchanged before.
	Complete bool
	// Age is how long ago somebody last saved, in milliseconds, by the replica's
	// clock. It is negative if nobody did.
	Age int64
}

// A Replica is the copy of a session that a server keeps. A call makes one exchange
// with it. Items have the form that internal/engine/README.md documents. Package
// web/client has the Replica of a server, and writertest.TestReplica checks one.
//
// A Replica MUST merge all items that it is sent or none. It leaves out those that it
// cannot read. It returns what was merged since the cursor, in whole batches. It may
// leave out what it was sent in this call. Without a cursor it returns all that there
// is, with what it was sent, and says that this is complete.
//
// The error wraps an *OwnerError if the session sent is not the caller's, ErrCursor
// if the cursor is unknown, a *StampError if a stamp is too far in the future, and
// ErrQuota if there is no room: ErrFull if that is because of what other sessions take.
// After any of them nothing has been merged.
type Replica func(ctx context.Context, sent Sent) (Received, error)

// Sync sends a replica what it may not have of the session, and merges what the
// replica has and this side does not, in one exchange or several. Both sides merge, so
// devices may sync in any order, and an exchange that failed may be repeated even if
// it had reached the server. From the first Sync on, no removal is forgotten before
// the replica has it.
//
// After a Sync, the session belongs to an owner: the one whom the server takes the
// sender for. What was saved before the first Sync becomes the first owner's, and
// what was removed before it removes nothing of his. If the owner is another than the
// last time, the session shows that owner's entries. What the former owner had not
// sent yet is kept for him alone, unless the server says that the other is his heir: then
// it becomes the heir's. See also Forget.
//
// The session can be used during a Sync. What is saved meanwhile may be left to the
// next one. What the replica has no room for stays here, and the rest is exchanged.
// The error is then an *EntryError with the key of the largest entry, and wraps
// ErrQuota. If the server is full, it names no key and wraps ErrFull. Any other error is
// the replica's or the storage's.
func (s *Session) Sync(ctx context.Context, replica Replica) error {
	return s.wrap("sync", s.sync(ctx, replica))
}

func (s *Session) sync(ctx context.Context, replica Replica) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.engine.Exchange(now())
	if err != nil {
		return err
	}
	// Whatever came of it, others may have to be told.
	defer func() {
		s.engine.Tidy(now())
		s.stale.Store(true)
		s.awake()
	}()
	var noRoom error
	for {
		sent, more := x.Next(now())
		if !more {
			break
		}
		got, err := s.ask(ctx, replica, Sent(sent))
		answered, terms := engine.Merged, engine.Terms{}
		if err != nil {
			var owner *OwnerError
			var stamp *StampError
			switch {
			case errors.As(err, &owner):
				answered, got, terms.Heir = engine.Unknown, Received{Owner: owner.Owner}, owner.Heir
			case errors.Is(err, ErrCursor):
				answered, got = engine.Unknown, Received{Owner: sent.Owner}
			case errors.As(err, &stamp):
				answered, terms = engine.TooLate, engine.Terms{Latest: stamp.Latest.UnixMilli(), Newest: engine.Stamp(stamp.Newest)}
			case errors.Is(err, ErrQuota) && sent.Owner != "" && sent.Items != "":
				answered, noRoom = engine.NoRoom, err
			default:
				return err
			}
		}
		if failed := x.Answer(now(), answered, engine.Received(got), terms); failed != nil {
			return errors.Join(failed, err)
		}
	}
	if refused, any := x.Refused(); any {
		if errors.Is(noRoom, ErrFull) {
			return noRoom
		}
		return &EntryError{refused.Key, fmt.Errorf("the server has no room for its %d bytes: %w", refused.Size, noRoom)}
	}
	return nil
}

// ask makes a request, during which the session can be used.
func (s *Session) ask(ctx context.Context, replica Replica, sent Sent) (Received, error) {
	s.mu.Unlock()
	defer s.mu.Lock() // also when the replica panics
	return replica(ctx, sent)
}

// Forget drops what is stored here of the session, and what is known of its copy on a
// server. The copy stays, and so does what is kept for other owners. A logout calls
// Forget, and before that Sync if nothing is to be lost.
func (s *Session) Forget(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return s.wrap("forget", err)
	}
	err := s.engine.Forget(now())
	s.stale.Store(true)
	s.awake()
	return s.wrap("forget", err)
}
