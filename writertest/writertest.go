// Package writertest is a test suite for those who implement [session.Writer].
// [TestWriter] checks the nine rules of its contract, one by one. A failure says which
// sentence of which rule was broken, and by what. [TestStorage] does the same for
// [session.Storage] and [session.Watcher], and [TestReplica] for [session.Replica].
//
// No test can see that the documentation says what the storage survives (rule 3), or
// that a Writer's configuration is fixed when it is made (rule 5). The tests run in
// one process, where the Writers of one [Harness] stand in for several. So they should
// share no more than processes would.
package writertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"

	"github.com/session-interop/session-writer"
)

// A Harness has a new, empty session in some storage. Its functions are called from
// several goroutines at once.
//
// Open and Load are required. Each of the others lets more cases run. The log names
// the cases that do not run.
type Harness struct {
	// Open returns a new Writer on the session, which is open. Each call returns what
	// another tab or process would have.
	Open func(ctx context.Context) (session.Writer, error)

	// Load returns the session's entries, their values as JSON texts, as a new reader
	// of the same storage finds them. It must not ask a Writer that Open returned.
	Load func(ctx context.Context) (map[string]json.RawMessage, error)

	// See makes w see what is stored at this moment, for example by loading
	// with it. Leave it nil for Writers that always see all that is stored.
	See func(ctx context.Context, w session.Writer) error

	// Close closes w, and Active reports whether w is open. Set both, or
	// neither for Writers that have no such state.
	Close  func(w session.Writer) error
	Active func(w session.Writer) bool

	// Refuse makes the storage refuse every write with an error, and keep
	// nothing of it, until restore is called.
	Refuse func() (restore func())

	// Writes returns how many writes the storage has had so far, refused ones
	// included.
	Writes func() int
}

// TestWriter tests that a Writer keeps the nine rules of [session.Writer]. It calls
// newHarness for every case, with that case's t, so t.Cleanup can tear down what the
// harness needs.
//
// Each case is a subtest that is named after its rule. So this runs the cases of
// rule 6:
//
//	go test -run TestMyWriter/6-last-wins
//
// A panic of the Writer fails the case. A Save that never returns, or that lets a
// cyclic value exhaust the stack, ends the whole test.
func TestWriter(t *testing.T, newHarness func(t *testing.T) Harness) {
	t.Helper()
	run(t, writerRules, newHarness)
}

// A StorageHarness is a storage to be tested. It may be shared with others and
// hold items of theirs.
type StorageHarness struct {
	// Storage is required. If it is a [session.Watcher], that is tested too.
	Storage session.Storage

	// Elsewhere sets an item of the same storage, in a way that a Watcher has to tell
	// of: for localStorage from another document, for a database on another
	// connection. Without it, Watch is not tested.
	Elsewhere func(key, text string)
}

// TestStorage tests that a Storage does what [session.Storage] asks of it, and, if it
// is a [session.Watcher], what that asks. It calls newHarness for every case.
//
// Others may use the storage at the same time. The cases use keys that begin with
// "writertest/", and remove them before and after. One case sets items under names
// that are known traps, such as "length", and puts back what was there. Another one
// sets a text of 8 MiB, which a storage without limits will write.
func TestStorage(t *testing.T, newHarness func(t *testing.T) StorageHarness) {
	t.Helper()
	run(t, storageRules, func(t *testing.T) StorageHarness {
		t.Helper()
		h := newHarness(t)
		if err := h.check(); err != nil {
			return h // run reports it
		}
		clean := func() {
			if err := attempt(h.clean); err != nil {
				t.Errorf("remove the items of this test: %v", err)
			}
		}
		clean()
		t.Cleanup(clean)
		return h
	})
}

// check reports what the harness itself lacks.
func (h Harness) check() error {
	switch {
	case h.Open == nil || h.Load == nil:
		return errors.New("Harness: Open and Load are required")
	case (h.Close == nil) != (h.Active == nil):
		return errors.New("Harness: set both Close and Active, or neither")
	}
	return nil
}

func (h StorageHarness) check() error {
	if h.Storage == nil {
		return errors.New("StorageHarness: Storage is required")
	}
	return nil
}

// A hook names what is optional in a harness.
type hook string

const (
	closing   hook = "Close and Active"
	refusing  hook = "Refuse"
	counting  hook = "Writes"
	elsewhere hook = "Elsewhere, and a Storage that is a Watcher"
)

func (h Harness) has(k hook) bool {
	switch k {
	case closing:
		return h.Close != nil
	case refusing:
		return h.Refuse != nil
	case counting:
		return h.Writes != nil
	}
	return k == ""
}

func (h StorageHarness) has(k hook) bool {
	_, watches := h.Storage.(session.Watcher)
	return k == "" || k == elsewhere && h.Elsewhere != nil && watches
}

// A rule is one sentence of a contract, word for word, and the cases that
// check it. Sentences of one numbered rule share its name.
type rule[H harness] struct {
	name  string
	says  string
	cases []testCase[H]
}

type testCase[H harness] struct {
	name  string
	needs hook
	check func(ctx context.Context, h H) // fails by failf
}

type harness interface {
	check() error
	has(hook) bool
}

func run[H harness](t *testing.T, rules []rule[H], newHarness func(t *testing.T) H) {
	t.Helper()
	for _, r := range rules {
		for _, c := range r.cases {
			t.Run(r.name+"/"+c.name, func(t *testing.T) {
				h := newHarness(t)
				if err := h.check(); err != nil {
					t.Fatal(err)
				}
				if !h.has(c.needs) {
					t.Logf("not run: the harness has no %s", c.needs)
					return
				}
				if err := r.try(t.Context(), c, h); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// try runs one case of r. Its error begins with the rule.
func (r rule[H]) try(ctx context.Context, c testCase[H], h H) error {
	if err := attempt(func() { c.check(ctx, h) }); err != nil {
		return fmt.Errorf("rule %s: %s\n%w", r.name, r.says, err)
	}
	return nil
}

// A failure is what failf panics with, so that a case can be a list of
// statements and yet be run without a testing.T.
type failure struct{ error }

func failf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

// attempt runs f and returns what failf said in it, or what else it panicked
// with.
func attempt(f func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p.error
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	f()
	return nil
}

// about runs f, and says in its failure what it was about.
func about(what string, f func()) {
	if err := attempt(f); err != nil {
		failf("%s: %w", what, err)
	}
}

// together runs the functions at once, waits for all, and fails if one did.
func together(fs ...func()) {
	errs := make([]error, len(fs))
	var wg sync.WaitGroup
	for i, f := range fs {
		wg.Go(func() { errs[i] = attempt(f) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		failf("%w", err)
	}
}

// brief cuts a text to what is worth printing of it.
func brief(text string) string {
	const limit = 120
	if len(text) <= limit {
		return text
	}
	return fmt.Sprintf("%s... (%d bytes)", text[:limit], len(text))
}

func quoted(text string) string { return brief(strconv.Quote(text)) }
