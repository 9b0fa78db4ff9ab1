package writertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/big"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/session-interop/session-writer"
)

var writerRules = []rule[Harness]{
	{"1-merge", "Each key among the entries takes its new value.", []testCase[Harness]{
		{"new-keys-are-added", "", newKeys},
		{"old-keys-are-replaced", "", oldKeys},
		{"a-thousand-keys", "", thousandKeys},
	}},
	{"1-merge", "Every other key keeps the one it had.", []testCase[Harness]{
		{"other-keys-keep-theirs", "", otherKeys},
		{"other-writers-keys-keep-theirs", "", otherWritersKeys},
		{"writers-at-once-lose-nothing", "", writersAtOnce},
	}},
	{"2-whole", "All entries are saved or none: after an error the session is what it was, and no reader, in this process or another, ever sees part of a batch.", []testCase[Harness]{
		{"bad-entry-first", "", badEntry(0)},
		{"bad-entry-in-the-middle", "", badEntry(2)},
		{"bad-entry-last", "", badEntry(4)},
		{"panic-among-the-entries", "", panicAmongEntries},
		{"refused-write", refusing, refusedWrite},
		{"readers-see-no-part", "", readersSeeNoPart},
	}},
	{"3-ensured", "When Save returns nil, the storage has accepted the entries and a load through the same storage returns them.", []testCase[Harness]{
		{"load-after-save", "", loadAfterSave},
		{"numbers", "", returned(numbers)},
		{"strings", "", returned(texts)},
		{"arrays-and-objects", "", returned(composites)},
		{"marshalers", "", returned(marshalers)},
		{"no-nil-for-a-refused-write", refusing, noNilForRefusedWrite},
	}},
	{"4-state-kept", "An open session is open after Save, a closed one closed: Save on a closed session saves and leaves it closed.", []testCase[Harness]{
		{"save-after-save", "", saveAfterSave},
		{"open-stays-open", closing, openStaysOpen},
		{"closed-saves-and-stays-closed", closing, closedStaysClosed},
		{"an-error-closes-nothing", closing, errorClosesNothing},
	}},
	{"5-immutable", "Save changes and keeps nothing that it was given; a Writer's configuration is fixed when it is made; a Writer is safe for concurrent use.", []testCase[Harness]{
		{"values-stay-as-given", "", valuesStayAsGiven},
		{"values-are-not-kept", "", valuesNotKept},
		{"entries-are-read-once", "", entriesReadOnce},
		{"context-is-not-kept", "", contextNotKept},
		{"eight-goroutines", "", eightGoroutines},
	}},
	{"6-last-wins", "Of equal keys in one batch the last counts.", []testCase[Harness]{
		{"equal-keys-in-one-batch", "", equalKeys},
	}},
	{"6-last-wins", "Saves of one Writer apply in order.", []testCase[Harness]{
		{"rapid-saves", "", rapidSaves},
	}},
	{"6-last-wins", "Of saves by several Writers, one that was made after seeing another wins over it; of two made at once, the same one wins for every reader.", []testCase[Harness]{
		{"who-saw-wins", "", whoSawWins},
		{"readers-agree", "", readersAgree},
	}},
	{"7-empty-is-nothing", "An empty batch succeeds and writes nothing.", []testCase[Harness]{
		{"on-an-empty-session", "", emptyOnEmpty},
		{"entries-stay", "", emptyKeepsEntries},
		{"no-write", counting, emptyWritesNothing},
		{"storage-that-refuses", refusing, emptyOnRefusal},
	}},
	{"8-keys-and-values", "A key is non-empty valid UTF-8, of any characters.", []testCase[Harness]{
		{"any-characters", "", anyCharacters},
		{"keys-that-look-alike", "", lookAlikes},
		{"invalid-keys", "", invalidKeys},
	}},
	{"8-keys-and-values", "A value is anything that JSON can say; nil is saved as null, which is not the same as absent.", []testCase[Harness]{
		{"nil-is-null", "", nilIsNull},
	}},
	{"8-keys-and-values", "What cannot be saved is refused with an error that names the key, before anything is written.", []testCase[Harness]{
		{"not-json", "", refused(notJSON)},
		{"cycles", "", refused(cycles)},
		{"bad-marshalers", "", refused(badMarshalers)},
		{"panicking-marshaler", "", refused(panickingMarshalers)},
		{"no-iterator", "", noIterator},
		{"before-any-write", counting, refusedBeforeWrite},
	}},
	{"9-cancelled", "A context that is done before the commit means its error and nothing saved.", []testCase[Harness]{
		{"before-save", "", cancelledBefore},
		{"deadline-passed", "", deadlinePassed},
		{"among-the-entries", "", cancelledAmong},
		{"after-the-last-entry", "", cancelledAfterLast},
	}},
}

// The steps that cases are made of.

type entries = map[string]any

func (h Harness) open(ctx context.Context) session.Writer {
	w, err := h.Open(ctx)
	if err != nil {
		failf("Harness.Open: %w", err)
	}
	return w
}

// begin opens a Writer and saves some entries with it.
func (h Harness) begin(ctx context.Context, saved entries) session.Writer {
	w := h.open(ctx)
	save(ctx, w, saved)
	return w
}

func save(ctx context.Context, w session.Writer, saved entries) { saveAll(ctx, w, maps.All(saved)) }

func saveAll(ctx context.Context, w session.Writer, saved iter.Seq2[string, any]) {
	if err := w.Save(ctx, saved); err != nil {
		failf("Save returned the error %q, want none", err)
	}
}

// refuses demands an error of Save.
func refuses(ctx context.Context, w session.Writer, saved iter.Seq2[string, any]) error {
	err := w.Save(ctx, saved)
	if err == nil {
		failf("Save returned nil, want an error")
	}
	return err
}

func (h Harness) see(ctx context.Context, w session.Writer) {
	if h.See == nil {
		return
	}
	if err := h.See(ctx, w); err != nil {
		failf("Harness.See: %w", err)
	}
}

func (h Harness) load(ctx context.Context) map[string]json.RawMessage {
	loaded, err := h.Load(ctx)
	if err != nil {
		failf("Harness.Load: %w", err)
	}
	return loaded
}

// holds demands that the session has these entries and no others.
func (h Harness) holds(ctx context.Context, want entries) {
	got := h.load(ctx)
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(want)) {
		wanted, err := json.Marshal(want[key])
		if err != nil {
			panic(err) // the case itself is wrong
		}
		if text, ok := got[key]; !ok {
			wrong = append(wrong, fmt.Sprintf("key %s: is absent, want %s", quoted(key), brief(string(wanted))))
		} else if !sameJSON(text, wanted) {
			wrong = append(wrong, fmt.Sprintf("key %s: got %s, want %s", quoted(key), brief(string(text)), brief(string(wanted))))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			wrong = append(wrong, fmt.Sprintf("key %s: got %s, want it absent", quoted(key), brief(string(got[key]))))
		}
	}
	const limit = 10
	if n := len(wrong); n > limit {
		wrong = append(wrong[:limit], fmt.Sprintf("and %d keys more", n-limit))
	}
	if wrong != nil {
		failf("Load after it:\n%s", strings.Join(wrong, "\n"))
	}
}

// unharmed demands that a failed Save of w left the session as it was, and
// left nothing behind in w that its next Save would bring in.
func (h Harness) unharmed(ctx context.Context, w session.Writer, before entries) {
	h.holds(ctx, before)
	save(ctx, w, entries{"next": true})
	h.holds(ctx, plus(before, entries{"next": true}))
}

func plus(a, b entries) entries {
	sum := maps.Clone(a)
	maps.Copy(sum, b)
	return sum
}

// sameJSON reports whether two JSON texts say the same: blanks, escapes, the
// order of names and the notation of a number don't count, its every digit
// does.
func sameJSON(a, b []byte) bool {
	va, err := decode(a)
	if err != nil {
		return false
	}
	vb, err := decode(b)
	return err == nil && reflect.DeepEqual(va, vb)
}

func decode(text []byte) (value any, err error) {
	if !json.Valid(text) {
		return nil, errors.New("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&value)
	return exact(value), err
}

// exact turns each number in a decoded value into its exact fraction.
func exact(value any) any {
	switch v := value.(type) {
	case json.Number:
		if r, ok := new(big.Rat).SetString(string(v)); ok {
			return json.Number(r.RatString())
		}
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name])
		}
	}
	return value
}

// A pair is one entry, for batches whose order counts.
type pair struct {
	key   string
	value any
}

func pairs(list ...pair) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, p := range list {
			if !yield(p.key, p.value) {
				return
			}
		}
	}
}

// Rule 1.

func newKeys(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1})
	h.holds(ctx, entries{"a": 1})
	save(ctx, w, entries{"b": 2, "c": 3})
	h.holds(ctx, entries{"a": 1, "b": 2, "c": 3})
}

func oldKeys(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1, "b": "two"})
	save(ctx, w, entries{"a": []int{1}, "b": nil})
	h.holds(ctx, entries{"a": []int{1}, "b": nil})
	save(ctx, w, entries{"a": 1, "b": "two"})
	h.holds(ctx, entries{"a": 1, "b": "two"})
}

func thousandKeys(ctx context.Context, h Harness) {
	all, half := entries{}, entries{}
	for i := range 1000 {
		key := fmt.Sprint("key ", i)
		all[key] = i
		if i%2 == 0 {
			half[key] = -i
		}
	}
	w := h.begin(ctx, all)
	h.holds(ctx, all)
	save(ctx, w, half)
	h.holds(ctx, plus(all, half))
}

func otherKeys(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1, "b": 1, "null": nil})
	save(ctx, w, entries{"b": 2})
	h.holds(ctx, entries{"a": 1, "b": 2, "null": nil})
}

// otherWritersKeys has both Writers look at the empty session before either
// saves, as two tabs do that were opened together.
func otherWritersKeys(ctx context.Context, h Harness) {
	a, b := h.open(ctx), h.open(ctx)
	h.see(ctx, a)
	h.see(ctx, b)
	save(ctx, a, entries{"a": 1, "shared": "a"})
	h.see(ctx, b)
	save(ctx, b, entries{"b": 2, "shared": "b"})
	save(ctx, a, entries{"a": 3})
	save(ctx, b, entries{"c": 4})
	h.holds(ctx, entries{"a": 3, "b": 2, "c": 4, "shared": "b"})
}

func writersAtOnce(ctx context.Context, h Harness) {
	var writers []session.Writer
	for range 4 {
		writers = append(writers, h.open(ctx))
	}
	h.saveAtOnce(ctx, writers)
}

// saveAtOnce lets each Writer save keys of its own, all at once, and demands
// that none is lost.
func (h Harness) saveAtOnce(ctx context.Context, writers []session.Writer) {
	const saves = 25
	want := entries{"before": true}
	save(ctx, writers[0], want)
	var work []func()
	for i, w := range writers {
		for n := range saves {
			want[fmt.Sprint(i, "/", n)] = n
		}
		work = append(work, func() {
			for n := range saves {
				save(ctx, w, entries{fmt.Sprint(i, "/", n): n})
				runtime.Gosched() // without it, one goroutine does all its work first on GOOS=js
			}
		})
	}
	together(work...)
	h.holds(ctx, want)
}

// Rule 2.

// badEntry has a batch of five whose i-th cannot be saved.
func badEntry(i int) func(ctx context.Context, h Harness) {
	return func(ctx context.Context, h Harness) {
		before := entries{"a": 1, "kept": []string{"x"}}
		w := h.begin(ctx, before)
		batch := []pair{{"a", 2}, {"b", 2}, {"c", 2}, {"d", 2}, {"e", 2}}
		batch[i].value = func() {}
		refuses(ctx, w, pairs(batch...))
		h.holds(ctx, before)
		batch[i] = pair{"", 2}
		refuses(ctx, w, pairs(batch...))
		h.unharmed(ctx, w, before)
	}
}

// panicAmongEntries lets Save panic or return an error, as it likes, but not
// save.
func panicAmongEntries(ctx context.Context, h Harness) {
	before := entries{"a": 1}
	w := h.begin(ctx, before)
	saved := false
	attempt(func() {
		saved = w.Save(ctx, func(yield func(string, any) bool) {
			if yield("a", 2) {
				panic("half-way")
			}
		}) == nil
	})
	if saved {
		failf("Save returned nil for entries that panicked half-way, want an error or the panic")
	}
	h.unharmed(ctx, w, before)
}

func refusedWrite(ctx context.Context, h Harness) {
	before := entries{"a": 1, "kept": []string{"x"}}
	w := h.begin(ctx, before)
	h.whileRefusing(func() { w.Save(ctx, maps.All(entries{"a": 2, "b": 2})) })
	h.unharmed(ctx, w, before)
}

// whileRefusing runs f while the storage refuses writes.
func (h Harness) whileRefusing(f func()) {
	restore := h.Refuse()
	defer restore()
	f()
}

// readersSeeNoPart has two Writers save batches that give all their keys one
// value, so that whoever sees two values has seen part of a batch.
func readersSeeNoPart(ctx context.Context, h Harness) {
	const (
		saves = 150
		loads = 1000 // a limit, as an endless reader would starve asynchronous storage on GOOS=js
	)
	batch := func(value string) entries {
		m := entries{}
		for i := range 8 {
			m[fmt.Sprint("key ", i)] = value
		}
		return m
	}
	h.begin(ctx, batch("first"))

	var saving atomic.Int32
	saving.Store(2)
	saver := func(name string) func() {
		w := h.open(ctx)
		return func() {
			defer saving.Add(-1)
			for n := range saves {
				save(ctx, w, batch(fmt.Sprint(name, n)))
				runtime.Gosched()
			}
		}
	}
	reader := func() {
		for n := 0; n < loads && saving.Load() > 0; n++ {
			loaded := h.load(ctx)
			var value string
			if err := json.Unmarshal(loaded["key 0"], &value); err != nil {
				failf("Load while others save: key 0 is %s: %w", loaded["key 0"], err)
			}
			for key, want := range batch(value) {
				if text, _ := json.Marshal(want); !sameJSON(loaded[key], text) {
					failf("Load while others save: key 0 is %q of one batch, and %s is %s of another", value, key, loaded[key])
				}
			}
			runtime.Gosched()
		}
	}
	together(saver("a"), saver("b"), reader, reader)
}

// Rule 3.

func loadAfterSave(ctx context.Context, h Harness) {
	w := h.open(ctx)
	for n := range 20 {
		save(ctx, w, entries{"n": n})
		h.holds(ctx, entries{"n": n})
	}
}

// A saying is a value, and its JSON.
type saying struct {
	value any
	json  string
}

// returned saves the values, one by one and all in one batch, and demands them
// back.
func returned(list []saying) func(ctx context.Context, h Harness) {
	return func(ctx context.Context, h Harness) {
		w := h.open(ctx)
		batch, want := entries{}, entries{}
		for i, s := range list {
			key := fmt.Sprint("value ", i)
			about(fmt.Sprintf("%s, of %s", key, brief(s.json)), func() { save(ctx, w, entries{key: s.value}) })
			batch[key+" again"] = s.value
			want[key], want[key+" again"] = json.RawMessage(s.json), json.RawMessage(s.json)
		}
		save(ctx, w, batch)
		h.holds(ctx, want)
	}
}

var numbers = []saying{
	{0, `0`},
	{-1, `-1`},
	{uint8(255), `255`},
	{int64(math.MinInt64), `-9223372036854775808`},
	{uint64(math.MaxUint64), `18446744073709551615`},
	{0.1, `0.1`},
	{float32(0.5), `0.5`},
	{1e21, `1e21`},
	{math.SmallestNonzeroFloat64, `5e-324`},
	{math.MaxFloat64, `1.7976931348623157e308`},
	{json.Number("12345678901234567890123456789"), `12345678901234567890123456789`},
	{json.Number("0.12345678901234567890123456789"), `0.12345678901234567890123456789`},
	{json.RawMessage("-98765432109876543210"), `-98765432109876543210`},
	{json.RawMessage(`[9007199254740993]`), `[9007199254740993]`},
}

var texts = []saying{
	{"", `""`},
	{" a ", `" a "`},
	{"null", `"null"`},
	{`{"a":1}`, `"{\"a\":1}"`},
	{`"quotes" and \`, `"\"quotes\" and \\"`},
	{"\x00\t\r\n\x1f\x7f", `"\u0000\t\r\n\u001f\u007f"`},
	{"\u2028\u2029", `"\u2028\u2029"`},
	{"</script><!-- & -->", `"</script><!-- & -->"`},
	{"\ufeffBOM", `"\ufeffBOM"`},
	{"\ufffd\uffff", `"\ufffd\uffff"`},
	{"😀 e\u0301 é 日本", `"😀 e\u0301 é 日本"`},
	{strings.Repeat("long ", 20_000), `"` + strings.Repeat("long ", 20_000) + `"`},
}

var composites = []saying{
	{true, `true`},
	{false, `false`},
	{[]any{}, `[]`},
	{map[string]any{}, `{}`},
	{[]any{nil, true, "x", []any{1.5, []any{}}, map[string]any{"a": nil}}, `[null,true,"x",[1.5,[]],{"a":null}]`},
	{[][]int{{1, 2}, {}, {3}}, `[[1,2],[],[3]]`},
	{map[string]int{"one": 1, "two": 2}, `{"one":1,"two":2}`},
	{map[string]any{"a": map[string]any{"b": []string{"c"}}}, `{"a":{"b":["c"]}}`},
	{map[string]any{"": 0, "__proto__": map[string]any{"x": 1}, "length": 2}, `{"":0,"__proto__":{"x":1},"length":2}`},
	{json.RawMessage(strings.Repeat("[", 100) + strings.Repeat("]", 100)), strings.Repeat("[", 100) + strings.Repeat("]", 100)},
}

// A marshaler says its JSON by a function.
type marshaler func() ([]byte, error)

func (m marshaler) MarshalJSON() ([]byte, error) { return m() }

var marshalers = []saying{
	{json.RawMessage(" { \"a\" :\n[ 1 , 2 ] } "), `{"a":[1,2]}`},
	{json.RawMessage(`"😀"`), `"😀"`},
	{marshaler(func() ([]byte, error) { return []byte(`{"m": [1, "\u2028"]}`), nil }), `{"m":[1,"\u2028"]}`},
	{[]any{marshaler(func() ([]byte, error) { return []byte(`null`), nil })}, `[null]`},
	{struct {
		Name string `json:"name"`
		At   *int   `json:"at"`
		Not  int    `json:"-"`
	}{Name: "x"}, `{"name":"x","at":null}`},
}

func noNilForRefusedWrite(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1})
	h.whileRefusing(func() {
		refuses(ctx, w, maps.All(entries{"a": 2}))
		refuses(ctx, w, maps.All(entries{"b": 2}))
	})
	save(ctx, w, entries{"c": 3})
}

// Rule 4.

// saveAfterSave is what can be told of the state without a hook: a session
// that was open for one Save is so for the next.
func saveAfterSave(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1})
	h.see(ctx, w)
	save(ctx, w, entries{"b": 2})
	h.holds(ctx, entries{"a": 1, "b": 2})
}

func openStaysOpen(ctx context.Context, h Harness) {
	w := h.open(ctx)
	h.activeIs(true, w, "Open")
	save(ctx, w, entries{"a": 1})
	h.activeIs(true, w, "Save")
	save(ctx, w, nil)
	h.activeIs(true, w, "Save of an empty batch")
}

func closedStaysClosed(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1})
	h.close(w)
	save(ctx, w, entries{"b": 2})
	h.activeIs(false, w, "Close and Save")
	save(ctx, w, entries{"c": 3})
	h.activeIs(false, w, "Close and two Saves")
	h.holds(ctx, entries{"a": 1, "b": 2, "c": 3})
}

func errorClosesNothing(ctx context.Context, h Harness) {
	w := h.open(ctx)
	refuses(ctx, w, pairs(pair{"", 1}))
	h.activeIs(true, w, "a Save that failed")
	h.close(w)
	refuses(ctx, w, pairs(pair{"", 1}))
	h.activeIs(false, w, "Close and a Save that failed")
}

func (h Harness) close(w session.Writer) {
	if err := h.Close(w); err != nil {
		failf("Harness.Close: %w", err)
	}
	h.activeIs(false, w, "Close")
}

func (h Harness) activeIs(want bool, w session.Writer, after string) {
	if got := h.Active(w); got != want {
		failf("Active reports %t after %s, want %t", got, after, want)
	}
}

// Rule 5.

// given returns values that Save could reach into, always the same.
func given() entries {
	return entries{
		"slice":   []any{3, 1, 2},
		"map":     map[string]any{"x": []int{1}, "y": nil},
		"raw":     json.RawMessage(`{"a":1}`),
		"pointer": &[]string{"kept"},
		"null":    nil,
	}
}

func valuesStayAsGiven(ctx context.Context, h Harness) {
	m := given()
	h.begin(ctx, m)
	if want := given(); !reflect.DeepEqual(m, want) {
		failf("after Save the caller's map is %v, want %v as before", m, want)
	}
}

func valuesNotKept(ctx context.Context, h Harness) {
	m := given()
	w := h.begin(ctx, m)
	m["slice"].([]any)[0] = "changed"
	m["map"].(map[string]any)["x"].([]int)[0] = -1
	m["map"].(map[string]any)["z"] = "changed"
	copy(m["raw"].(json.RawMessage), `{"b":2}`)
	*m["pointer"].(*[]string) = nil
	m["new"] = "changed"
	delete(m, "null")
	h.holds(ctx, given())
	save(ctx, w, entries{"next": 1})
	h.holds(ctx, plus(given(), entries{"next": 1}))
}

func entriesReadOnce(ctx context.Context, h Harness) {
	w := h.open(ctx)
	var reads atomic.Int32
	saveAll(ctx, w, func(yield func(string, any) bool) {
		reads.Add(1)
		_ = yield("a", 1) && yield("b", 2)
	})
	save(ctx, w, entries{"c": 3})
	h.see(ctx, w)
	h.holds(ctx, entries{"a": 1, "b": 2, "c": 3})
	if n := reads.Load(); n != 1 {
		failf("the entries were iterated over %d times, want once", n)
	}
}

func contextNotKept(ctx context.Context, h Harness) {
	w := h.open(ctx)
	first, cancel := context.WithCancel(ctx)
	save(first, w, entries{"a": 1})
	cancel()
	save(ctx, w, entries{"b": 2})
	h.holds(ctx, entries{"a": 1, "b": 2})
}

func eightGoroutines(ctx context.Context, h Harness) {
	h.saveAtOnce(ctx, slices.Repeat([]session.Writer{h.open(ctx)}, 8))
}

// Rule 6.

func equalKeys(ctx context.Context, h Harness) {
	w := h.open(ctx)
	saveAll(ctx, w, pairs(pair{"a", 1}, pair{"b", 1}, pair{"a", nil}, pair{"b", nil}, pair{"a", 3}))
	h.holds(ctx, entries{"a": 3, "b": nil})
	saveAll(ctx, w, pairs(pair{"a", 5}, pair{"a", 4}))
	h.holds(ctx, entries{"a": 4, "b": nil})
}

func rapidSaves(ctx context.Context, h Harness) {
	w := h.open(ctx)
	for n := range 200 {
		save(ctx, w, entries{"n": n, fmt.Sprint("mod 7 is ", n%7): n})
	}
	want := entries{"n": 199}
	for n := 193; n < 200; n++ {
		want[fmt.Sprint("mod 7 is ", n%7)] = n
	}
	h.holds(ctx, want)
}

// whoSawWins has two Writers take turns, without a pause, so that most turns
// fall into the millisecond of the one before.
func whoSawWins(ctx context.Context, h Harness) {
	writers := [2]session.Writer{h.open(ctx), h.open(ctx)}
	for n := range 50 {
		w := writers[n%2]
		h.see(ctx, w)
		save(ctx, w, entries{"n": n})
		h.holds(ctx, entries{"n": n})
	}
}

func readersAgree(ctx context.Context, h Harness) {
	a, b := h.open(ctx), h.open(ctx)
	for n := range 20 {
		fromA, fromB := fmt.Sprint("a", n), fmt.Sprint("b", n)
		together(
			func() { save(ctx, a, entries{"k": fromA}) },
			func() { save(ctx, b, entries{"k": fromB}) },
		)
		first := h.load(ctx)["k"]
		if s := string(first); s != `"`+fromA+`"` && s != `"`+fromB+`"` {
			failf("of %q and %q saved at once, a reader found %s", fromA, fromB, first)
		}
		agree := func() {
			if next := h.load(ctx)["k"]; !sameJSON(next, first) {
				failf("of %q and %q saved at once, one reader found %s and another %s", fromA, fromB, first, next)
			}
		}
		together(agree, agree)
		c := h.open(ctx)
		h.see(ctx, c)
		save(ctx, c, entries{"other": n})
		agree()
	}
}

// Rule 7.

// saveEmpty saves all that counts as an empty batch.
func saveEmpty(ctx context.Context, w session.Writer) {
	saveAll(ctx, w, func(func(string, any) bool) {})
	save(ctx, w, entries{})
	save(ctx, w, nil)
}

func emptyOnEmpty(ctx context.Context, h Harness) {
	saveEmpty(ctx, h.open(ctx))
	h.holds(ctx, entries{})
}

func emptyKeepsEntries(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1, "null": nil})
	saveEmpty(ctx, w)
	saveEmpty(ctx, h.open(ctx))
	h.holds(ctx, entries{"a": 1, "null": nil})
}

func emptyWritesNothing(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1})
	before := h.Writes()
	saveEmpty(ctx, w)
	if after := h.Writes(); after != before {
		failf("empty batches brought the storage from %d writes to %d, want none", before, after)
	}
}

func emptyOnRefusal(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1})
	h.whileRefusing(func() { saveEmpty(ctx, w) })
	h.holds(ctx, entries{"a": 1})
}

// Rule 8.

// oddKeys are those that implementations are known to trip over: names of
// JavaScript's objects and of Web Storage, what has to be quoted somewhere, and
// a leading U+FEFF, which TextDecoder strips.
var oddKeys = []string{
	"__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "toJSON",
	"length", "key", "getItem", "setItem", "removeItem", "clear", "0", "-1", "null", "undefined",
	" ", "\t", "\n", "\x00", "nul\x00inside", "\x7f", `"`, `'`, "`", `\`, `\u0000`, "/", "a/b", "../a", "%2F", "a=b&c", "$", "<b>",
	"😀", "日本", "\u2028", "\u2029", "\u200b", "\ufffd", "\uffff", "\U0010ffff", "\ufeff", "\ufeffBOM",
	strings.Repeat("ten chars ", 1000),
}

func anyCharacters(ctx context.Context, h Harness) {
	w := h.open(ctx)
	want := entries{}
	for i, key := range oddKeys {
		want[key] = fmt.Sprint("together ", i)
	}
	save(ctx, w, want)
	h.holds(ctx, want)
	for i, key := range oddKeys {
		save(ctx, w, entries{key: i})
		want[key] = i
	}
	h.holds(ctx, want)
}

// lookAlikes are keys that trimming, folding or normalising would make one.
func lookAlikes(ctx context.Context, h Harness) {
	want := entries{}
	for i, key := range []string{"é", "e\u0301", "É", "E\u0301", "a", "A", " a", "a ", "a\x00", "\ufeffa", "a\n", "/a", "a/", "ａ"} {
		want[key] = i
	}
	h.begin(ctx, want)
	h.holds(ctx, want)
}

func invalidKeys(ctx context.Context, h Harness) {
	before := entries{"a": 1, "\ufffd": 2}
	w := h.begin(ctx, before)
	for _, key := range []string{
		"", "\xff", "a\xc3", "\x80b",
		"\xed\xa0\x80", // half of a surrogate pair
		"\xc0\x80",     // NUL, too long
	} {
		about(fmt.Sprintf("key %q", key), func() {
			blames(refuses(ctx, w, pairs(pair{key, 1})), key, session.ErrKey)
			h.holds(ctx, before)
		})
	}
	h.unharmed(ctx, w, before)
}

// blames demands an EntryError for the key that wraps kind.
func blames(err error, key string, kind error) {
	entry, ok := errors.AsType[*session.EntryError](err)
	switch {
	case !ok:
		failf("Save returned the error %q, want a *session.EntryError for the key %q", err, key)
	case entry.Key != key:
		failf("Save returned the error %q for the key %q, want it for the key %q", err, entry.Key, key)
	case !errors.Is(err, kind):
		failf("Save returned the error %q, want one that wraps %q", err, kind)
	}
}

func nilIsNull(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1, "b": 1})
	save(ctx, w, entries{"a": nil, "c": nil, "d": (*int)(nil), "e": json.RawMessage("null")})
	h.holds(ctx, entries{"a": nil, "b": 1, "c": nil, "d": nil, "e": nil})
	save(ctx, w, entries{"b": nil})
	h.holds(ctx, entries{"a": nil, "b": nil, "c": nil, "d": nil, "e": nil})
}

// refused demands that each value is refused, also among others.
func refused(values []any) func(ctx context.Context, h Harness) {
	return func(ctx context.Context, h Harness) {
		before := entries{"a": 1}
		w := h.begin(ctx, before)
		for i, value := range values {
			key := fmt.Sprint("value ", i)
			about(fmt.Sprintf("%s, of type %T", key, value), func() {
				blames(refuses(ctx, w, pairs(pair{"a", 2}, pair{key, value}, pair{"b", 2})), key, session.ErrValue)
				h.holds(ctx, before)
			})
		}
		h.unharmed(ctx, w, before)
	}
}

var notJSON = []any{
	func() {},
	make(chan int),
	complex(1, 2),
	math.NaN(),
	math.Inf(1),
	float32(math.Inf(-1)),
	[]any{1, math.NaN()},
	map[string]any{"x": func() {}},
	map[float64]int{1: 1},
	json.Number("1x"),
	json.RawMessage(``),
	json.RawMessage(`{"a":`),
	json.RawMessage(`1 2`),
}

var cycles = func() []any {
	type node struct{ Next *node }
	pointer := new(node)
	pointer.Next = &node{pointer}
	object := map[string]any{}
	object["self"] = object
	list := make([]any, 1)
	list[0] = list
	return []any{pointer, object, list}
}()

var badMarshalers = []any{
	marshaler(func() ([]byte, error) { return nil, errors.New("no JSON of this") }),
	marshaler(func() ([]byte, error) { return []byte(`{"a" 1}`), nil }),
	marshaler(func() ([]byte, error) { return nil, nil }),
	[]any{marshaler(func() ([]byte, error) { return []byte(`1]`), nil })},
}

var panickingMarshalers = []any{
	marshaler(func() ([]byte, error) { panic("in MarshalJSON") }),
}

func noIterator(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1})
	refuses(ctx, w, nil)
	h.unharmed(ctx, w, entries{"a": 1})
}

func refusedBeforeWrite(ctx context.Context, h Harness) {
	w := h.begin(ctx, entries{"a": 1})
	before := h.Writes()
	refuses(ctx, w, pairs(pair{"a", 2}, pair{"b", 2}, pair{"bad", math.NaN()}))
	refuses(ctx, w, pairs(pair{"a", 2}, pair{"b", 2}, pair{"", 2}))
	if after := h.Writes(); after != before {
		failf("refused batches brought the storage from %d writes to %d, want none", before, after)
	}
}

// Rule 9.

func cancelledBefore(ctx context.Context, h Harness) {
	h.stops(ctx, func(ctx context.Context, cancel func(), w session.Writer) error {
		cancel()
		return w.Save(ctx, maps.All(entries{"a": 2, "b": 2}))
	}, context.Canceled)
}

func deadlinePassed(ctx context.Context, h Harness) {
	h.stops(ctx, func(ctx context.Context, _ func(), w session.Writer) error {
		ctx, cancel := context.WithDeadline(ctx, time.Unix(0, 0))
		defer cancel()
		return w.Save(ctx, maps.All(entries{"a": 2, "b": 2}))
	}, context.DeadlineExceeded)
}

func cancelledAmong(ctx context.Context, h Harness) {
	h.stops(ctx, func(ctx context.Context, cancel func(), w session.Writer) error {
		return w.Save(ctx, func(yield func(string, any) bool) {
			if yield("a", 2) {
				cancel()
				yield("b", 2)
			}
		})
	}, context.Canceled)
}

func cancelledAfterLast(ctx context.Context, h Harness) {
	h.stops(ctx, func(ctx context.Context, cancel func(), w session.Writer) error {
		return w.Save(ctx, func(yield func(string, any) bool) {
			_ = yield("a", 2) && yield("b", 2)
			cancel()
		})
	}, context.Canceled)
}

// stops demands that a Save with a context of its own returns the context's
// error and does nothing.
func (h Harness) stops(ctx context.Context, save func(ctx context.Context, cancel func(), w session.Writer) error, want error) {
	before := entries{"a": 1}
	w := h.begin(ctx, before)
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	switch err := save(own, cancel, w); {
	case err == nil:
		failf("Save returned nil, want the error %q", want)
	case !errors.Is(err, want):
		failf("Save returned the error %q, want %q", err, want)
	}
	h.unharmed(ctx, w, before)
}
