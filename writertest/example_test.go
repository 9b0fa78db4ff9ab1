package writertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

// MySession is a session in memory. It survives nothing but its Writers.
type MySession struct {
	mu      sync.Mutex
	entries map[string]json.RawMessage
	full    bool
	writes  int
}

var errFull = fmt.Errorf("MySession: %w", session.ErrQuota)

// write is the only way into the session. The batch is saved whole, under the
// lock that every reader takes.
func (s *MySession) write(batch map[string]json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.full {
		return errFull
	}
	maps.Copy(s.entries, batch)
	return nil
}

func (s *MySession) load() map[string]json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.entries)
}

// MyWriter is a session.Writer on a MySession.
type MyWriter struct {
	session *MySession
	closed  atomic.Bool
}

func (w *MyWriter) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	batch, err := encode(entries)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(batch) == 0 {
		return nil
	}
	return w.session.write(batch)
}

func encode(entries iter.Seq2[string, any]) (map[string]json.RawMessage, error) {
	if entries == nil {
		return nil, fmt.Errorf("%w: no entries", session.ErrValue)
	}
	batch := make(map[string]json.RawMessage)
	for key, value := range entries {
		if key == "" || !utf8.ValidString(key) {
			return nil, &session.EntryError{Key: key, Err: session.ErrKey}
		}
		text, err := marshal(value)
		if err != nil {
			return nil, &session.EntryError{Key: key, Err: fmt.Errorf("%w: %w", session.ErrValue, err)}
		}
		batch[key] = text
	}
	return batch, nil
}

// marshal is json.Marshal, which lets the panics of a MarshalJSON through.
func marshal(value any) (text []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return json.Marshal(value)
}

// newHarness gives the suite an empty session. Only Open and Load are required.
// There is no See, as every MyWriter always sees all that is stored.
func newHarness(*testing.T) writertest.Harness {
	s := &MySession{entries: make(map[string]json.RawMessage)}
	setFull := func(full bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.full = full
	}
	return writertest.Harness{
		Open: func(context.Context) (session.Writer, error) {
			return &MyWriter{session: s}, nil
		},
		Load: func(context.Context) (map[string]json.RawMessage, error) {
			return s.load(), nil
		},
		Close: func(w session.Writer) error {
			if w.(*MyWriter).closed.Swap(true) {
				return errors.New("MyWriter: closed already")
			}
			return nil
		},
		Active: func(w session.Writer) bool { return !w.(*MyWriter).closed.Load() },
		Refuse: func() (restore func()) {
			setFull(true)
			return func() { setFull(false) }
		},
		Writes: func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.writes
		},
	}
}

func Example() {
	var t *testing.T // that of func TestMyWriter(t *testing.T), in a file of yours

	writertest.TestWriter(t, newHarness)
}
