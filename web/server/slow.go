package server

import (
	"container/list"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/session-interop/session-writer/web/internal/turns"
)

const (
	// patience is how long a client may be silent.
	patience = 30 * time.Second
	// slowest is how many bytes a second the slowest line has that is waited for.
	slowest = 4 << 10
)

// allowance returns how long a body may take for its first bytes.
func allowance(bytes int) time.Duration {
	return patience + time.Duration(bytes)*time.Second/slowest
}

// A slow is the body of a request. A client may have a slow line, but may not send a body
// byte by byte for hours. The server's own time limit for requests could not tell the
// two apart.
type slow struct {
	io.ReadCloser
	deadlines *http.ResponseController
	began     time.Time
	read      int

	mu     sync.Mutex // also guards the deadlines
	gaveUp bool
	// moved is when the last whole piece had come. The slowest line sends one piece a
	// second.
	moved  time.Time
	pieces int
}

// stalled is how long no piece may come of a body before it gives way to others.
const stalled = 5 * time.Second

func newSlow(w http.ResponseWriter, body io.ReadCloser) *slow {
	return &slow{ReadCloser: body, deadlines: http.NewResponseController(w), began: time.Now(), moved: time.Now()}
}

// errGivenUp means that the room of a body is needed for others.
var errGivenUp = fmt.Errorf("%w: too many bodies are on their way", turns.ErrBusy)

func (s *slow) Read(p []byte) (int, error) {
	if s.prolong() {
		return 0, errGivenUp
	}
	n, err := s.ReadCloser.Read(p)
	s.read += n
	s.move()
	if err != nil && err != io.EOF && s.prolong() {
		err = errGivenUp
	}
	return n, err
}

// prolong moves the deadlines, unless the body is given up.
func (s *slow) prolong() (gaveUp bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.gaveUp {
		// A Worker has no deadlines. There the host limits the time.
		deadline := s.began.Add(allowance(s.read))
		_ = s.deadlines.SetReadDeadline(deadline)
		_ = s.deadlines.SetWriteDeadline(deadline.Add(patience)) // the answer comes after it
	}
	return s.gaveUp
}

func (s *slow) move() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pieces := s.read / slowest; pieces > s.pieces {
		s.pieces, s.moved = pieces, time.Now()
	}
}

// stalledFor returns for how long no piece has come.
func (s *slow) stalledFor() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.moved)
}

// giveUp ends the reading of the body, even while Read waits.
func (s *slow) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaveUp = true
	_ = s.deadlines.SetReadDeadline(time.Unix(1, 0))
}

// maxIncoming is how many bodies are read at a time, at most.
const maxIncoming = 1000

// incoming are the bodies that are being read, in the order in which they began.
type incoming struct {
	// most is how many there are at most. With one more, the first is given up. A
	// client that sends little at once is done before its body is the first.
	most int

	mu     sync.Mutex
	bodies list.List // of *slow
}

// giveWay gives up the bodies that are stalled, because others need the room.
func (in *incoming) giveWay() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for at := in.bodies.Front(); at != nil; {
		body, next := at.Value.(*slow), at.Next()
		if body.stalledFor() > stalled {
			in.bodies.Remove(at)
			body.giveUp()
		}
		at = next
	}
}

// count returns how many bodies are being read.
func (in *incoming) count() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.bodies.Len()
}

func (in *incoming) add(body *slow) (remove func()) {
	in.mu.Lock()
	defer in.mu.Unlock()
	at := in.bodies.PushBack(body)
	if in.bodies.Len() > in.most {
		first := in.bodies.Front()
		in.bodies.Remove(first)
		first.Value.(*slow).giveUp()
	}
	return func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.bodies.Remove(at)
	}
}
