package server

import (
	"fmt"
	"strings"
	"sync"

	"github.com/session-interop/session-writer/web/internal/turns"
)

// small is how much of each request is not counted, in bytes. So whoever sends and
// receives little is served, whatever others do. incoming and the queue of the database
// limit how many requests there are, and so bound what is not counted.
const small = 16 << 10

// A budget is memory for bodies and answers that are on their way, in bytes.
type budget struct {
	// total is how much there is, and share how much of it one owner may hold.
	total, share int

	mu   sync.Mutex
	used int
	by   map[string]int
}

// A holder is a request that holds some of a budget.
type holder struct {
	*budget
	owner string
	// size is how much the request has taken, and held how much of that counts.
	size, held int
}

func (b *budget) holder(owner string) *holder { return &holder{budget: b, owner: owner} }

// fits returns the error that take would return, and takes nothing.
func (h *holder) fits(bytes int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.check(bytes)
}

func (h *holder) check(bytes int) error {
	// A request that holds the budget alone may take any size.
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

// more returns how much more the request would hold with so many bytes more.
func (h *holder) more(bytes int) int { return max(h.size+bytes-small, 0) - h.held }

// take has the request hold so many bytes more. The error wraps turns.ErrBusy.
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

// release gives back all that the request holds.
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

// inUse returns how many bytes all requests hold.
func (b *budget) inUse() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// A text is a body that is being read. It holds its memory.
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
