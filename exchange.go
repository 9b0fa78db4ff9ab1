package session

import (
	"context"
	"errors"
	"fmt"
)

// ErrCursor means that a server does not know the cursor that it was given: it
// has another session, or none any more.
var ErrCursor = errors.New("unknown cursor")

// A Server makes one exchange of a session with a server that keeps a copy of
// it. Items are in the form that the README documents.
//
// The server gets the items that it may not have, in a JSON array, or nothing.
// It MUST merge all of them or none, but for those that it cannot read. It
// gives, as one item or nothing, what was merged since the cursor, which is
// from an earlier exchange or empty, and a cursor for the next. What it was
// given in this exchange may be left out. The error wraps ErrCursor when it
// does not know the cursor, and then it has merged nothing.
type Server func(ctx context.Context, cursor, unsent string) (next, received string, err error)

// Exchange gives a server what it may not have of the session, and takes what
// the server has and this side has not. Both sides merge, so it does not
// matter which devices do so in what order, nor whether an exchange that
// failed had reached the server. From the first Exchange on, no removal is
// forgotten before the server has it.
//
// The session can be used meanwhile. What is saved meanwhile is for the next
// Exchange. The error is the server's or the storage's.
func (s *Session) Exchange(ctx context.Context, server Server) error {
	err := s.exchange(ctx, server, false)
	if errors.Is(err, ErrCursor) {
		err = s.exchange(ctx, server, true)
	}
	return s.wrap("exchange", err)
}

func (s *Session) exchange(ctx context.Context, server Server, anew bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	unsent, err := s.engine.Unsent(anew)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	next, received, err := server(ctx, unsent.Cursor, unsent.Texts)
	if err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	change, err := s.engine.Receive(now(), next+unsent.Items, received)
	if !change.Empty() {
		s.pending = append(s.pending, changeOf(change, true))
		s.awake()
	}
	if err != nil {
		return fmt.Errorf("what the server sent: %w", err)
	}
	s.engine.Tidy(now())
	return nil
}
