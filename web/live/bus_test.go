//go:build !js

package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/session-interop/session-writer/web/internal/turns"
)

// A memoryBus is one in this process, whose faults a test makes.
type memoryBus struct {
	mu       sync.Mutex
	down     error // what Send and Listen return, if it is not nil
	sent     []string
	failures int
	hearers  map[int]hearer
	joins    int
}

type hearer struct {
	heard func(string)
	end   context.CancelCauseFunc
}

func (b *memoryBus) Send(_ context.Context, texts []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down != nil {
		b.failures++
		return b.down
	}
	b.sent = append(b.sent, texts...)
	for _, h := range b.hearers {
		for _, text := range texts {
			h.heard(text)
		}
	}
	return nil
}

func (b *memoryBus) Listen(ctx context.Context, joined func(), heard func(string)) error {
	ctx, end := context.WithCancelCause(ctx)
	b.mu.Lock()
	if b.down != nil {
		defer b.mu.Unlock()
		end(nil)
		return b.down
	}
	if b.hearers == nil {
		b.hearers = make(map[int]hearer)
	}
	me := b.joins
	b.hearers[me] = hearer{heard, end}
	b.joins++
	joined()
	b.mu.Unlock()
	<-ctx.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.hearers, me)
	return context.Cause(ctx)
}

// fail has the bus be down, or up again if err is nil.
func (b *memoryBus) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = err
	for _, h := range b.hearers {
		if err != nil {
			h.end(err)
		}
	}
}

func (b *memoryBus) count(of func() int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return of()
}

// pair returns two hubs on one bus, which have joined.
func pair(t *testing.T) (bus *memoryBus, here, there *door, logged *bytes.Buffer) {
	t.Helper()
	set(t, &usual.again, time.Millisecond)
	bus, logged = new(memoryBus), new(bytes.Buffer)
	config := Config{Bus: bus, ErrorLog: log.New(logged, "", 0)}
	here, there = newDoor(t, config), newDoor(t, config)
	await(t, "both hear", func() bool { return !here.Deaf() && !there.Deaf() })
	return bus, here, there, logged
}

func TestAnotherProcessIsTold(t *testing.T) {
	bus, here, there, _ := pair(t)
	near, far := here.mustOpen(t, "ada", "1"), there.mustOpen(t, "ada", "2")
	names := []string{"cart", "", `a "name" of two`, "\u2028 ü", strings.Repeat("\x01", 1024)}
	for i, name := range names {
		from, cursor := here, fmt.Sprint("e-", i)
		if i%2 == 1 {
			from, cursor = there, ""
		}
		from.Changed("ada", name, cursor)
		want := string(message(name, cursor))
		near.hears(t, want)
		far.hears(t, want) // and nothing twice, or it would come next
	}
	for _, text := range bus.sent {
		if len(text) > 7000 || strings.ContainsRune(text, 0) {
			t.Errorf("sent %d bytes: %.100q", len(text), text)
		}
	}
	here.Ended("ada", "2")
	far.ends(t, CodeEnded)
	there.Ended("ada", "")
	near.ends(t, CodeEnded)
}

func TestWhatCannotBeSentIsSentLater(t *testing.T) {
	bus, here, there, logged := pair(t)
	away := errors.New("the bus is away")
	bus.fail(away)
	for i := range 100 {
		here.Changed("ada", "cart", fmt.Sprint("e-", i))
		here.Changed("ada", fmt.Sprint(i), "")
		here.Ended("ada", fmt.Sprint(i))
	}
	await(t, "it is tried again", func() bool { return bus.count(func() int { return bus.failures }) > 2 })
	before := bus.count(func() int { return len(bus.sent) })
	bus.fail(nil)
	const want = 1 + 100 + 100
	await(t, "all is sent", func() bool { return bus.count(func() int { return len(bus.sent) }) >= before+want })
	sent := bus.sent[before:]
	slices.Sort(sent)
	if len(slices.Compact(sent)) != want || !slices.ContainsFunc(sent, func(text string) bool { return strings.HasSuffix(text, `+ ada e-99 "cart"`) }) {
		t.Errorf("sent %d texts, want %d, with the last cursor of the cart", len(sent), want)
	}
	here.Close()
	there.Close()
	if !strings.Contains(logged.String(), away.Error()) {
		t.Errorf("the log has %q", logged)
	}
}

func TestTooManyThatWaitAreTakenTogether(t *testing.T) {
	q := newQueue()
	for i := range maxQueued {
		q.change(subject{"ada", fmt.Sprint(i)}, "")
		q.end(subject{"ada", fmt.Sprint(i)})
	}
	if len(q.changes) != maxQueued || len(q.ends) != maxQueued || q.any {
		t.Fatalf("%d changes, %d ends, any %t: up to the limit nothing is lost", len(q.changes), len(q.ends), q.any)
	}
	if q.change(subject{"ada", "0"}, "e-1"); q.any {
		t.Error("a session that waits already took another place")
	}
	if q.end(subject{"ada", "0"}); q.any {
		t.Error("an end that waits already took another place")
	}
	ends := newQueue()
	ends.putBack(q)
	ends.end(subject{"ada", "more"})
	if len(ends.changes) != 0 || len(ends.ends) != maxQueued || !ends.any {
		t.Errorf("%d changes, %d ends, any %t: want that anything may have happened, and the ends", len(ends.changes), len(ends.ends), ends.any)
	}
	q.change(subject{"ada", "more"}, "")
	if len(q.changes) != 0 || len(q.ends) != maxQueued || !q.any {
		t.Errorf("%d changes, %d ends, any %t: want that any may have changed, and the ends", len(q.changes), len(q.ends), q.any)
	}
	later := newQueue()
	later.change(subject{"ada", "1"}, "e-2")
	later.change(subject{"ada", "2"}, "e-2")
	later.putBack(queue{changes: map[subject]string{{"ada", "1"}: "e-1", {"ada", "2"}: "e-3", {"bob", "1"}: "e-1"}, ends: map[subject]bool{{"ada", "3"}: true}})
	if got := fmt.Sprint(later.changes, later.ends); got != "map[{ada 1}:e-2 {ada 2}:e-3 {bob 1}:e-1] map[{ada 3}:true]" {
		t.Errorf("put back: %s", got)
	}
	later.putBack(q)
	if !later.any || len(later.changes) != 0 || len(later.ends) != maxQueued {
		t.Errorf("put back too much: %d changes, %d ends, any %t", len(later.changes), len(later.ends), later.any)
	}

	bus, here, there, _ := pair(t)
	far := there.mustOpen(t, "ada", "1")
	bus.fail(errors.New("the bus is away"))
	for i := range maxQueued + 1 {
		here.Changed(fmt.Sprint(i), "cart", "")
	}
	await(t, "they are too many", func() bool {
		here.link.mu.Lock()
		defer here.link.mu.Unlock()
		return here.link.queue.any
	})
	bus.fail(nil)
	await(t, "it is sent", func() bool {
		bus.mu.Lock()
		defer bus.mu.Unlock()
		return slices.Contains(bus.sent, here.link.id+" *")
	})
	far.ends(t, CodeExpired)
}

func TestAllComeAnewAfterSomethingWasMissed(t *testing.T) {
	bus, here, _, logged := pair(t)
	near := here.mustOpen(t, "ada", "1")
	bus.fail(errors.New("the bus is away"))
	await(t, "nobody hears", func() bool { return bus.count(func() int { return len(bus.hearers) }) == 0 })
	meanwhile := here.mustOpen(t, "ada", "2") // as it may be heard again soon
	bus.fail(nil)
	near.ends(t, CodeExpired)
	meanwhile.ends(t, CodeExpired)
	here.mustOpen(t, "ada", "1")
	here.Close()
	if strings.Contains(logged.String(), "again") {
		t.Errorf("the log has %q", logged)
	}
}

// A journal is a log that is written and read at once.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(text []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(text)
}

// count returns how often it has some words.
func (j *journal) count(words string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), words)
}

func TestNobodyIsLiveWhereTheBusDoesNotWork(t *testing.T) {
	set(t, &usual.again, time.Millisecond)
	set(t, &usual.deaf, 20*time.Millisecond)
	bus, logged := new(memoryBus), new(journal)
	bus.fail(errors.New("the bus is away"))
	d := newDoor(t, Config{Bus: bus, ErrorLog: log.New(logged, "", 0)})
	refused := func(when string) {
		t.Helper()
		if at := d.Address("ada", "1"); at != "" {
			t.Errorf("%s: devices are told to listen at %s", when, at)
		}
		if _, err := d.open(t, "ada", "1"); !errors.Is(err, turns.ErrBusy) {
			t.Errorf("%s: %v, want ErrBusy", when, err)
		}
	}
	refused("before the bus was heard")
	const stops, goes = "are not heard for", "heard again"
	await(t, "the log says that it is not heard", func() bool { return logged.count(stops) == 1 })
	for round := range 2 {
		bus.fail(nil)
		await(t, "it is heard", func() bool { return d.Address("ada", "1") == "live" && logged.count(goes) == round+1 })
		near := d.mustOpen(t, "ada", "1")
		bus.fail(errors.New("the bus is away"))
		near.ends(t, CodeExpired)
		await(t, "it is not heard for too long", func() bool { return d.Deaf() && logged.count(stops) == round+2 })
		refused("when it is not heard for too long")
	}
}

// What a later version sends, or anybody else, is left alone.
func TestOtherTextsAreIgnored(t *testing.T) {
	_, here, _, _ := pair(t)
	near := here.mustOpen(t, "ada", "1")
	for _, text := range []string{"", "x", "x ", "x +", "x + ada", "x + ada e-1", "x + ada e-1 cart", "x ? ada", "x +ada", here.link.id + ` + ada e-1 "cart"`} {
		here.link.heard(text)
	}
	here.link.heard(`x + ada e-2 "cart"`)
	near.hears(t, `{"session":"cart","cursor":"e-2"}`)
}

func TestWhatWaitsIsSentAtTheEnd(t *testing.T) {
	_, here, there, _ := pair(t)
	far := there.mustOpen(t, "ada", "1")
	here.Changed("ada", "cart", "e-1")
	here.Close()
	far.hears(t, `{"session":"cart","cursor":"e-1"}`)
}
