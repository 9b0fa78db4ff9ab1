package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/session-interop/session-writer/wasm/engine"
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

// Sent is what a session sends to the server that keeps a copy of it.
type Sent = engine.Sent

// Received is what that server sends back.
type Received = engine.Received

// A Server makes one request of an exchange with a server that keeps a copy of
// a session. Items are in the form that the README documents.
//
// The server MUST merge all that it is sent or none, but for items that it
// cannot read. What it gives is what was merged since the cursor; what it was
// sent in this request may be left out, and no batch is ever in part. Without a
// cursor it gives all that there is, what it was sent included, and says that this
// is complete.
//
// The error is an *OwnerError when the session sent is not of the owner that
// whoever asks is; it wraps ErrCursor when the cursor is unknown, is a
// *StampError when something was stamped too far in the future, and wraps
// ErrQuota when there is no room. After any of them nothing has been merged.
type Server func(ctx context.Context, sent Sent) (Received, error)

// Exchange gives a server what it may not have of the session, and takes what
// the server has and this side has not. Both sides merge, so it does not
// matter which devices do so in what order, nor whether an exchange that
// failed had reached the server. From the first Exchange on, no removal is
// forgotten before the server has it.
//
// The session then belongs to whom the server takes the sender for, its owner.
// When that is another than the last time, the session shown is that owner's,
// and what the former one's server does not have is kept for him alone: see
// also Forget. What is saved here before the first Exchange is the first
// owner's, without what was removed before.
//
// The session can be used meanwhile. What is saved meanwhile may be for the
// next Exchange. What the server has no room for stays here, and does not keep
// the rest from being exchanged: the error is then an *EntryError with the key
// of the largest entry, and wraps ErrQuota. Any other error is the server's or
// the storage's.
func (s *Session) Exchange(ctx context.Context, server Server) error {
	return s.wrap("exchange", s.exchange(ctx, server))
}

func (s *Session) exchange(ctx context.Context, server Server) error {
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
		got, err := s.ask(ctx, server, sent)
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
		if failed := x.Answer(now(), answered, got, late); failed != nil {
			return errors.Join(failed, err)
		}
	}
	if refused, any := x.Refused(); any {
		return &EntryError{refused.Key, fmt.Errorf("the server has no room for its %d bytes: %w", refused.Size, noRoom)}
	}
	return nil
}

// ask makes a request, during which the session can be used.
func (s *Session) ask(ctx context.Context, server Server, sent Sent) (Received, error) {
	s.mu.Unlock()
	defer s.mu.Lock() // also when the server panics
	return server(ctx, sent)
}

// Forget drops what is stored here of the session, and what is known of its copy
// on a server. The copy stays, and so does what is kept for other owners. It is
// what a logout calls, after an Exchange if nothing is to be lost.
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
