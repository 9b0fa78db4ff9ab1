package server

import (
	"fmt"
	"strings"
	"sync"

	"github.com/session-interop/session-writer/web/internal/turns"
)

// small is how much of each request is not counted, in bytes, so that who sends
// and receives little is served whatever others do. It is times what incoming has
// at most, and times what waits for the database.
const small = 16 << 10

// A budget is memory for what is on its way, in bytes.
type budget struct {
	// total is how much there is, and share how much of it for one owner.
	total, share int

	mu   sync.Mutex
	used int
	by   map[string]int
}

// A holder is a request that holds some of a budget.
type holder struct {
	*budget
	owner string
	// size is what it has asked for, and held what of that counts.
	size, held int
}

func (b *budget) holder(owner string) *holder { return &holder{budget: b, owner: owner} }

// fits returns what take would for so many bytes more.
func (h *holder) fits(bytes int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.check(bytes)
}

func (h *holder) check(bytes int) error {
	// What is alone is taken, however large it is.
	switch more := h.more(bytes); {
	case more == 0:
		return nil
	case h.by[h.owner] > h.held && h.by[h.owner]+more > h.share:
		return fmt.Errorf("%w: of one owner %d bytes may be on their way", turns.ErrBusy, h.share)
	case h.used > h.held && h.used+more > h.total:
		return fmt.Errorf("%w: %d bytes may be on their way", turns.ErrBusy, h.total)
	}
	return nil
}

// more is how much more is held with so many bytes more.
func (h *holder) more(bytes int) int { return max(h.size+bytes-small, 0) - h.held }

// take has a request hold so many bytes more. The error wraps turns.ErrBusy.
func (h *holder) take(bytes int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.check(bytes); err != nil {
		return err
	}
	more := h.more(bytes)
	h.size += bytes
	if more > 0 {
		if h.by == nil {
			h.by = make(map[string]int)
		}
		h.used += more
		h.by[h.owner] += more
		h.held += more
	}
	return nil
}

// release has a request hold nothing any more.
func (h *holder) release() {
	if h.held == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used -= h.held
	h.by[h.owner] -= h.held
	if h.by[h.owner] == 0 {
		delete(h.by, h.owner)
	}
	h.size, h.held = 0, 0
}

// A text is a body as it comes in.
type text struct {
	strings.Builder
	held *holder
}

func (t *text) Write(p []byte) (int, error) {
	if err := t.held.take(len(p)); err != nil {
		return 0, err
	}
	return t.Builder.Write(p)
}
