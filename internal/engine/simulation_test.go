package engine

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// The simulation is of tabs that save into one session, on a storage whose
// changes reach each tab late. All that happens in it follows from its seed:
//
//	go test ./internal/engine -run TestSimulation -sim.seed 123 -sim.steps 45
//
// runs one schedule again, or the beginning of it.
var (
	simSeed  = flag.Uint64("sim.seed", 0, "run only the schedule of this seed")
	simSteps = flag.Int("sim.steps", 0, "end each schedule after so many steps; 0 for a number of its own")
	simOps   = flag.Int("sim.ops", 0, "simulate at least so many storage operations; 0 for each test's own number")
)

const (
	hour = 60 * 60 * 1000

	// Tabs are never told later than this, and clocks are never further from
	// the truth: together less than the day for which removals are kept.
	simDelay = 3 * hour
	simSkew  = 6 * hour

	// Compaction leaves no more items than this.
	simItems = 50

	simGroups    = 4
	simGroupSize = 3
	simSingles   = 6
)

// defaultOps is less in a browser, where everything takes several times as long.
func defaultOps() int {
	if runtime.GOOS == "js" {
		return 100_000
	}
	return 1_000_000
}

func TestSimulation(t *testing.T) { runSchedules(t, defaultOps(), simulate) }

// runSchedules runs schedules until they have done so many storage operations,
// or the one that a flag names.
func runSchedules(t *testing.T, enough int, simulate func(seed uint64, steps int) (ops int, err error)) {
	if *simOps != 0 {
		enough = *simOps
	}
	if *simSeed != 0 {
		if _, err := simulate(*simSeed, *simSteps); err != nil {
			t.Fatal(err)
		}
		return
	}
	first := rand.Uint64()
	ops, schedules := 0, 0
	for ops < enough {
		seed := first + uint64(schedules)
		schedules++
		n, err := simulate(seed, *simSteps)
		ops += n
		if err != nil {
			t.Fatalf("schedule %d, -sim.seed %d: %v", schedules, seed, err)
		}
	}
	t.Logf("%d storage operations in %d schedules, the first of -sim.seed %d", ops, schedules, first)
}

// A broken is what simulate panics with when a promise is.
type broken struct{ error }

// simulate runs one schedule, and returns how many storage operations it took.
func simulate(seed uint64, steps int) (ops int, err error) {
	r := rand.New(rand.NewPCG(seed, 0))
	if own := 30 + r.IntN(200); steps == 0 {
		steps = own
	}
	w := newWorld(r)
	step := 0
	defer func() {
		ops = w.ops
		err = w.broken(step, recover())
	}()
	for step = 1; step <= steps; step++ {
		w.step()
	}
	w.end()
	return w.ops, nil
}

func newWorld(r *rand.Rand) *world {
	w := &world{r: r, time: start, truth: make(map[string]string), written: new(state), versions: make(map[string]bool)}
	w.causal = r.IntN(2) == 0
	w.compacts = r.IntN(2) == 0
	w.clears = r.IntN(2) == 0
	w.fills = r.IntN(2) == 0
	w.nights = r.IntN(2) == 0
	w.deaf = 1 + 15*r.IntN(2)
	w.maxTabs = 1 + r.IntN(5)
	w.jumpEvery = 1 << (2 + r.IntN(5))
	if r.IntN(5) == 0 {
		w.maxAge = 40 * hour
	}
	return w
}

// broken returns what a schedule panicked with, and how it came to that.
func (w *world) broken(step int, p any) error {
	if p == nil {
		return nil
	}
	b, ok := p.(broken)
	if !ok { // the engine's own, which is no better
		b.error = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
	return fmt.Errorf("after %d steps: %w\n%s", step, b, strings.Join(w.log, "\n"))
}

// A world has the tabs, and the truth about the storage.
type world struct {
	r      *rand.Rand
	time   int64 // in milliseconds since 1970
	maxAge int64
	truth  map[string]string
	tabs   []*simTab // also those that are gone

	maxTabs   int  // that are open at once
	jumpEvery int  // steps, on average, until much time passes
	compacts  bool // also when neither a save nor a load has to
	clears    bool
	fills     bool // now and then, so that writes are refused
	nights    bool // in which nobody does anything for more than a day
	deaf      int  // how many times less often than others tabs see changes

	// causal is whether tabs see changes in the order in which they were
	// made, as in browsers; otherwise only those of one tab are in order.
	causal bool

	// written merges all that Save ever wrote, and versions has each entry
	// of it by key, stamp and value.
	written  *state
	versions map[string]bool
	// here merges what was written on this storage.
	here state

	saves int
	ops   int
	log   []string
}

// A simTab is a tab, and the storage as the tab sees it.
type simTab struct {
	*Session
	world *world
	name  string
	open  bool

	skew    int64 // of its wall clock
	stalled int64 // what its wall clock shows all the time, unless 0

	view    map[string]string
	removed map[string]bool // keys that it has seen removed
	// coming holds what others did and the tab does not see yet, in queues.
	coming map[*simTab][]simChange
	// known merges what Save wrote of what the tab sees, independently of
	// what compaction makes of it.
	known state

	killIn int  // operations until it is killed; 0 for never, -1 when it is
	full   bool // whether writes are refused, most of them
}

// A simChange is one that a tab made to the storage.
type simChange struct {
	key, text string
	removes   bool
	said      *state // what Save wrote with it, if it did
	at        int64
}

var errSimKilled = errors.New("killed")

func (w *world) fail(format string, args ...any) { panic(broken{fmt.Errorf(format, args...)}) }

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

// The tab's storage.

// op counts one operation. The one with which a tab is killed is still made.
func (t *simTab) op() {
	t.world.ops++
	switch {
	case t.killIn < 0:
		panic(errSimKilled)
	case t.killIn == 1:
		t.killIn = -1
	case t.killIn > 1:
		t.killIn--
	}
}

func (t *simTab) GetItem(key string) (string, bool, error) {
	t.op()
	if t.world.r.IntN(100) == 0 {
		t.deliverSome() // no browser does this within a task, other storages may
	}
	text, ok := t.view[key]
	return text, ok, nil
}

func (t *simTab) Keys(prefix string) ([]string, error) {
	t.op()
	keys := slices.Sorted(maps.Keys(t.view))
	keys = slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, prefix) })
	t.world.r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys, nil
}

func (t *simTab) SetItem(key, text string) error {
	t.op()
	w := t.world
	if t.full && w.r.IntN(4) > 0 {
		return ErrQuota
	}
	if c := (simChange{key: key, text: text, at: w.time}); key == t.ledgerKey() {
		w.truth[key] = text
		t.apply(c)
		t.tell(c)
		return nil
	}
	if t.removed[key] || t.view[key] != "" {
		w.fail("%s writes the item %s again", t.name, key)
	}
	c := simChange{key: key, text: text, at: w.time}
	said, err := decodeState(text)
	if err != nil {
		w.fail("%s writes the item %s, which cannot be read: %s", t.name, key, text)
	}
	// A merged item has a stamp of its own, later than all that is in it.
	if key == t.prefix+string(said.newest) {
		c.said = &said
		w.written.merge(said)
		w.here.merge(said)
		for key, v := range said.entries {
			w.versions[key+string(v.stamp)+v.value] = true
		}
	}
	w.truth[key] = text
	t.apply(c)
	t.tell(c)
	return nil
}

func (t *simTab) RemoveItem(key string) error {
	t.op()
	c := simChange{key: key, removes: true, at: t.world.time}
	delete(t.world.truth, key)
	t.apply(c)
	t.tell(c)
	return nil
}

// apply makes the tab see a change. Every browser has one order for all that
// happens to an item, so one that was removed does not come back because its
// writer is heard of later.
func (t *simTab) apply(c simChange) {
	switch {
	case c.removes:
		delete(t.view, c.key)
		t.removed[c.key] = true
	case !t.removed[c.key]:
		t.view[c.key] = c.text
	}
	if c.said != nil {
		t.known.merge(*c.said)
	}
}

func (t *simTab) tell(c simChange) {
	queue := t
	if t.world.causal {
		queue = nil // the same one for all
	}
	for _, other := range t.world.tabs {
		if other != t && other.open {
			other.coming[queue] = append(other.coming[queue], c)
		}
	}
}

// queues returns those that a tab may have, in an order that follows from the
// seed.
func (w *world) queues() []*simTab { return append([]*simTab{nil}, w.tabs...) }

// deliver makes the tab see the next n changes of a queue.
func (t *simTab) deliver(from *simTab, n int) {
	for _, c := range t.coming[from][:n] {
		t.apply(c)
		t.See(c.key)
	}
	t.coming[from] = t.coming[from][n:]
}

func (t *simTab) deliverSome() {
	for _, from := range t.world.queues() {
		if n := len(t.coming[from]); n > 0 && t.world.r.IntN(2) == 0 {
			t.deliver(from, 1+t.world.r.IntN(n))
		}
	}
}

func (t *simTab) deliverDue(delay int64) {
	for _, from := range t.world.queues() {
		n := 0
		for n < len(t.coming[from]) && t.world.time-t.coming[from][n].at >= delay {
			n++
		}
		t.deliver(from, n)
	}
}

// What happens.

func (w *world) openTab() *simTab {
	t := &simTab{
		world:   w,
		name:    fmt.Sprint("tab ", len(w.tabs)),
		open:    true,
		view:    maps.Clone(w.truth),
		removed: make(map[string]bool),
		coming:  make(map[*simTab][]simChange),
		known:   merged(w.here),
	}
	t.jump()
	w.tabs = append(w.tabs, t)
	s, err := Open(t, "cart", new(Clock), w.maxAge)
	if err == nil && w.r.IntN(4) > 0 {
		err = s.Listen(true)
	}
	if err != nil {
		w.fail("%s: %v", t.name, err)
	}
	s.writer = writerOf(w.r.Uint64())
	t.Session = s
	return t
}

func (w *world) openTabs() []*simTab {
	return slices.DeleteFunc(slices.Clone(w.tabs), func(t *simTab) bool { return !t.open })
}

func (t *simTab) now() int64 {
	if t.stalled != 0 {
		return t.stalled
	}
	return t.world.time + t.skew
}

func (t *simTab) jump() { t.skew = t.world.r.Int64N(2*simSkew) - simSkew }

func (w *world) step() {
	night := w.nights && w.r.IntN(25) == 0
	switch {
	case night:
		w.time += 24*hour + w.r.Int64N(24*hour)
	case w.r.IntN(w.jumpEvery) == 0:
		w.time += w.r.Int64N(12 * hour)
	case w.r.IntN(20) == 0:
		w.time += w.r.Int64N(hour)
	default:
		w.time += w.r.Int64N(3)
	}
	open := w.openTabs()
	for _, t := range open {
		t.deliverDue(simDelay)
		if t.stalled != 0 && w.time-t.stalled > simSkew {
			t.stalled = 0
		}
	}
	if len(open) == 0 || len(open) < w.maxTabs && w.r.IntN(12) == 0 {
		open = append(open, w.openTab())
	}
	t := open[w.r.IntN(len(open))]
	switch w.r.IntN(30) {
	case 0:
		t.jump()
	case 1:
		t.stalled = max(t.now(), w.time-simSkew)
	case 2:
		t.stalled = 0
	}
	if w.r.IntN(2*w.deaf) == 0 {
		t.deliverSome()
	}
	t.full = w.fills && w.r.IntN(10) == 0
	if w.r.IntN(25) == 0 || t.saves == compactEvery-1 && w.r.IntN(2) == 0 {
		t.killIn = 1 + w.r.IntN(80)
	}
	if night {
		// What is older than a day may be forgotten now.
		t.attempt(t.compactOrDie)
	} else {
		t.attempt(t.act)
	}
	t.killIn, t.full = 0, false
	for _, other := range w.openTabs() {
		if other == t || w.r.IntN(4*w.deaf) == 0 {
			other.deliverSome()
			other.check()
		}
	}
}

// attempt does something that may be the last that the tab does.
func (t *simTab) attempt(f func()) {
	defer func() {
		if p := recover(); p == errSimKilled {
			t.world.note("%s is killed", t.name)
			t.open = false
		} else if p != nil {
			panic(p)
		}
	}()
	f()
}

// compactOrDie compacts, or begins to.
func (t *simTab) compactOrDie() {
	if t.world.r.IntN(2) == 0 {
		t.killIn = 1 + t.world.r.IntN(60)
	}
	t.world.note("%s compacts", t.name)
	t.compactAll(t.now())
}

// act does one thing that a page does.
func (t *simTab) act() {
	w, r := t.world, t.world.r
	w.saves++
	group := fmt.Sprintf("group %d", r.IntN(simGroups))
	single := fmt.Sprintf("single %d", r.IntN(simSingles))
	switch n := r.IntN(100); {
	case n < 35: // a batch, which must never be seen in part
		saved := entries{}
		if n < 20 {
			saved[single] = fmt.Sprint(w.saves)
		}
		for i := range simGroupSize {
			saved[fmt.Sprint(group, "/", i)] = fmt.Sprint(w.saves)
		}
		t.save(setting(saved))
	case n < 64:
		t.save(setting(entries{single: fmt.Sprint(w.saves)}))
	case n < 65: // so large that compaction leaves it alone, and much else with it
		t.save(setting(entries{single: fmt.Sprintf("%d%01000d", w.saves, 0), group + "/0": "0", group + "/1": "0", group + "/2": "0"}))
	case n < 72:
		var keys []string
		for i := range simGroupSize {
			keys = append(keys, fmt.Sprint(group, "/", i))
		}
		t.save(Batch{Remove: encodeList(keys)})
	case n < 80:
		t.save(Batch{Remove: encodeList([]string{single})})
	case n < 83 && w.clears:
		t.save(Batch{Clear: true})
	case n < 88 && w.compacts:
		t.compactOrDie()
	case n == 88, n == 89:
		w.note("%s closes", t.name)
		t.open = false
	default:
		w.note("%s loads", t.name)
		if _, err := t.Load(t.now()); err != nil {
			w.fail("%s: Load: %v", t.name, err)
		}
	}
}

func (t *simTab) save(b Batch) {
	w := t.world
	seen := t.known.newest
	w.note("%s saves %+v at %d", t.name, b, t.now())
	_, err := t.Save(t.now(), b)
	switch {
	case errors.Is(err, ErrQuota) && t.full:
		w.note("%s has no room", t.name)
		return
	case err != nil:
		w.fail("%s: Save: %v", t.name, err)
	}
	if t.newest <= seen {
		w.fail("%s saved as %s after it had seen %s", t.name, t.newest, seen)
	}
	t.Tidy(t.now())
}

// check holds what a load returns against what the tab has seen.
func (t *simTab) check() {
	w := t.world
	seen := merged(t.recent())
	snap, err := t.load(t.now())
	if err != nil {
		w.fail("%s: load: %v", t.name, err)
	}
	got := snap.state
	if list := snap.live(); !maps.Equal(asMap(list), asMap(got.live())) {
		w.fail("%s lists %v, and has %v", t.name, list, got.live())
	}
	for key, v := range got.entries {
		if !w.versions[key+string(v.stamp)+v.value] {
			w.fail("%s loads %s as %+v, which nobody saved", t.name, key, v)
		}
	}
	for g := range simGroups {
		var values []string
		for i := range simGroupSize {
			values = append(values, got.entries[fmt.Sprintf("group %d/%d", g, i)].value)
		}
		if values = slices.Compact(values); len(values) > 1 {
			w.fail("%s loads group %d in part: %v", t.name, g, values)
		}
	}
	if !w.causal {
		// It may have seen an item go, and not yet what supersedes it.
		return
	}
	// What it has seen adds nothing to what it loads.
	both := merged(got, seen)
	if loaded, both := asMap(got.live()), asMap(both.live()); !maps.Equal(loaded, both) {
		for key := range merged(got, seen).entries {
			if loaded[key] != both[key] {
				w.fail("%s loads %s as %.20q %+.60v, and has seen %.20q", t.name, key, loaded[key], got.entries[key], both[key])
			}
		}
	}
}

// recent is what the tab has seen, without what may be over.
func (t *simTab) recent() state {
	if t.world.maxAge == 0 {
		return t.known
	}
	oldest := t.world.time - t.world.maxAge + 2*simSkew + simDelay
	recent := state{newest: t.known.newest, cleared: t.known.cleared}
	for key, v := range t.known.entries {
		if v.stamp.Millis() > oldest {
			recent.set(key, v)
		}
	}
	return recent
}

// end lets every tab see everything, and holds what they load against each
// other and against all that was written.
func (w *world) end() {
	w.openTab()
	open := w.openTabs()
	want := asMap(w.written.live())
	for _, t := range open {
		t.skew, t.stalled = 0, 0
		t.deliverDue(0)
		if _, err := t.load(t.now()); err != nil {
			w.fail("%s: load: %v", t.name, err)
		}
	}
	w.time += catchUp + 1 // to some it is as if they had slept, and they wait with compaction
	for round := range 2 {
		for _, t := range open {
			for _, t := range open {
				t.deliverDue(0)
			}
			t.check()
			got, err := t.load(t.now())
			if err != nil {
				w.fail("%s: load: %v", t.name, err)
			}
			if w.maxAge > 0 {
				first, _ := open[0].current(open[0].now())
				want = asMap(first.live())
			}
			if got := asMap(got.live()); !maps.Equal(got, want) {
				w.fail("%s ends with %v, want %v", t.name, got, want)
			}
			if n := len(t.view); n > simItems {
				w.fail("%s ends with %d items", t.name, n)
			}
			if round == 0 {
				t.compactAll(t.now())
				if n := len(t.view); n > 1 {
					w.fail("%s has %d items after compaction", t.name, n)
				}
			}
		}
	}
}
