package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/session-interop/session-writer/internal/engine"
)

// ErrCursor means that a server does not know the cursor that it was sent: it
// has another session, or none any more.
var ErrCursor = errors.New("unknown cursor")

// An OwnerError means that a server has the session of another owner for whoever
// asks than the one whose session was sent.
type OwnerError struct {
	// Owner is the tag of that owner; empty when the server knows nobody.
	Owner string
}

// Error says whose session the server has.
func (e *OwnerError) Error() string {
	if e.Owner == "" {
		return "the server does not know whose session this is"
	}
	return "the server has the session of another owner: " + e.Owner
}

// A StampError means that something was stamped further in the future than a
// server takes it.
type StampError struct {
	// Latest is the time up to which it does.
	Latest time.Time
	// Newest is the greatest stamp of the session that the server has, which is
	// not later than that; empty for none.
	Newest string
}

// Error says up to when.
func (e *StampError) Error() string {
	return fmt.Sprintf("a stamp from the future: later than %s", e.Latest.UTC().Format(time.RFC3339))
}

// Sent is what a session sends to a Replica.
type Sent struct {
	// Owner is the tag of whose session it is, as the replica told it. When it is
	// empty, nothing is to be merged or given: the replica is asked whose session
	// it has, and Items is not empty if there is something to be kept.
	Owner string
	// Cursor is the replica's, from the last exchange; empty when nothing of
	// what it has is here.
	Cursor string
	// Items is a JSON array of items, or empty.
	Items string
	// Now is the time by the sender's clock, in milliseconds since 1970; 0 when
	// some stamps are not by that clock, because they were made anew.
	Now int64
	// MaxAge is how long after its last save the session is over, in
	// milliseconds; 0 when it never is.
	MaxAge int64
}

// Received is what a Replica sends back.
type Received struct {
	// Owner is the tag of whose session it is.
	Owner string
	// Cursor is for the next exchange.
	Cursor string
	// Item is one item with what was merged since the cursor that was sent, or
	// empty.
	Item string
	// Complete says that Item has all that there is, what was sent included. It
	// takes the place of what was sent and of what was exchanged before.
	Complete bool
	// Age is how long ago somebody last saved, in milliseconds, by the replica's
	// clock; less than 0 when nobody did.
	Age int64
}

// A Replica is the copy of a session that a server keeps. To call it makes one
// exchange with it. Items are in the form that internal/engine/README.md
// documents. Package web/client has the Replica of a server, and
// writertest.TestReplica checks one.
//
// A Replica MUST merge all that it is sent or none, except for items that it
// cannot read. It gives what was merged since the cursor, whole batches only; what
// it was sent in this call may be left out. Without a cursor it gives all that
// there is, what it was sent included, and says that this is complete.
//
// The error is an *OwnerError when the caller is not the owner of the session
// sent; it wraps ErrCursor when the cursor is unknown, is a *StampError when
// something was stamped too far in the future, and wraps ErrQuota when there is no
// room. After any of them nothing has been merged.
type Replica func(ctx context.Context, sent Sent) (Received, error)

// Sync gives a replica what it may not have of the session, and takes what the
// replica has and this side has not, in one exchange or several. Both sides merge,
// so it does not matter which devices sync in what order, nor whether an exchange
// that failed had reached the server. From the first Sync on, no removal is
// forgotten before the replica has it.
//
// The session then belongs to its owner: the one whom the server takes the sender
// for. When that is another than the last time, the session shown is that owner's,
// and what the former owner had not sent yet is kept for him alone: see also
// Forget. What is saved here before the first Sync is the first owner's, without
// what was removed before.
//
// The session can be used meanwhile. What is saved meanwhile may be left to the
// next Sync. What the replica has no room for stays here, and does not keep the
// rest from being exchanged: the error is then an *EntryError with the key of the
// largest entry, and wraps ErrQuota. Any other error is the replica's or the
// storage's.
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
		answered, late := engine.Merged, engine.Late{}
		if err != nil {
			var owner *OwnerError
			var stamp *StampError
			switch {
			case errors.As(err, &owner):
				answered, got = engine.Unknown, Received{Owner: owner.Owner}
			case errors.Is(err, ErrCursor):
				answered, got = engine.Unknown, Received{Owner: sent.Owner}
			case errors.As(err, &stamp):
				answered, late = engine.TooLate, engine.Late{Latest: stamp.Latest.UnixMilli(), Newest: engine.Stamp(stamp.Newest)}
			case errors.Is(err, ErrQuota):
				answered, noRoom = engine.NoRoom, err
			default:
				return err
			}
		}
		if failed := x.Answer(now(), answered, engine.Received(got), late); failed != nil {
			return errors.Join(failed, err)
		}
	}
	if refused, any := x.Refused(); any {
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

// Forget drops what is stored here of the session, and what is known of its copy
// on a server. The copy stays, and so does what is kept for other owners. It is
// what a logout calls, after a Sync if nothing is to be lost.
func (s *Session) Forget(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return s.wrap("forget", err)
	}
	err := s.engine.Forget()
	s.stale.Store(true)
	s.awake()
	return s.wrap("forget", err)
}
