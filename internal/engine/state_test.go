package engine

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

// seeded runs f many times, each with a random source of its own, whose seed
// a failure prints.
func seeded(t *testing.T, times int, f func(t *testing.T, r *rand.Rand)) {
	t.Helper()
	first := rand.Uint64()
	for i := range times {
		seed := first + uint64(i)
		if !t.Run(fmt.Sprintf("seed-%d", seed), func(t *testing.T) { f(t, rand.New(rand.NewPCG(seed, 0))) }) {
			return
		}
	}
}

// randomStamp is one of few, so that stamps meet.
func randomStamp(r *rand.Rand) Stamp {
	return makeStamp(start+r.Int64N(4), r.IntN(2), writerOf(r.Uint64N(3)<<60))
}

// randomState is what an item may say, also a damaged one: stamps of different
// contents may be equal.
func randomState(r *rand.Rand) state {
	var s state
	for range r.IntN(6) {
		v := version{stamp: randomStamp(r)}
		if r.IntN(3) > 0 {
			v.value = fmt.Sprint(r.IntN(3))
		}
		s.set(string(rune('a'+r.IntN(3))), v)
	}
	if r.IntN(3) == 0 {
		s.clear(randomStamp(r))
	}
	s.newest = max(s.newest, randomStamp(r))
	return s
}

// decodeState returns what an item says as a state.
func decodeState(text string) (s state, err error) {
	said, err := decode(text)
	if err == nil {
		s.add(said)
	}
	return s, err
}

// merge merges all that other says.
func (s *state) merge(other state) {
	s.newest = max(s.newest, other.newest)
	s.clear(other.cleared)
	for key, v := range other.entries {
		s.set(key, v)
	}
}

func merged(states ...state) state {
	var s state
	for _, other := range states {
		s.merge(other)
	}
	return s
}

// same compares states, of which one may have an empty map and one none.
func same(a, b state) bool {
	return a.newest == b.newest && a.cleared == b.cleared &&
		(len(a.entries) == 0 && len(b.entries) == 0 || reflect.DeepEqual(a.entries, b.entries))
}

func TestMerge(t *testing.T) {
	seeded(t, 2000, func(t *testing.T, r *rand.Rand) {
		a, b, c := randomState(r), randomState(r), randomState(r)
		for _, law := range []struct {
			name        string
			left, right state
		}{
			{"is commutative", merged(a, b), merged(b, a)},
			{"is associative", merged(merged(a, b), c), merged(a, merged(b, c))},
			{"is idempotent", merged(a, b, a, b), merged(a, b)},
			{"has nothing as its identity", merged(state{}, a), a},
		} {
			if !same(law.left, law.right) {
				t.Errorf("merge %s: %v and %v of %v, %v, %v", law.name, law.left, law.right, a, b, c)
			}
		}
	})
}

// model says in a few lines what merging comes to.
func model(states ...state) state {
	want := state{entries: map[string]version{}}
	for _, s := range states {
		want.cleared, want.newest = max(want.cleared, s.cleared), max(want.newest, s.newest)
	}
	for _, s := range states {
		for key, v := range s.entries {
			if had, ok := want.entries[key]; v.stamp >= want.cleared && (!ok || had.less(v)) {
				want.entries[key] = v
			}
		}
	}
	return want
}

func TestMergeKeepsTheHighest(t *testing.T) {
	seeded(t, 2000, func(t *testing.T, r *rand.Rand) {
		states := []state{randomState(r), randomState(r), randomState(r), randomState(r)}
		if got, want := merged(states...), model(states...); !same(got, want) {
			t.Errorf("merged %v, want %v", got, want)
		}
	})
}

func FuzzMerge(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		f.Add(encode(randomState(r)), encode(randomState(r)))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		s, errS := decodeState(a)
		u, errU := decodeState(b)
		if errS != nil || errU != nil {
			return
		}
		want := model(s, u)
		for _, got := range []state{merged(s, u), merged(u, s), merged(u, s, u)} {
			if !same(got, want) {
				t.Errorf("merged %v, want %v", got, want)
			}
		}
	})
}

func TestWhatDecodesEncodesToTheSame(t *testing.T) {
	seeded(t, 2000, func(t *testing.T, r *rand.Rand) {
		s := randomState(r)
		text := encode(s)
		if !accepts(text) {
			t.Fatalf("%v is written as %s, which is not JSON", s, text)
		}
		if got, err := decodeState(text); err != nil || !same(got, s) {
			t.Errorf("%v is written as %s and read as %v, %v", s, text, got, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := decodeState(text)
		if err != nil {
			return
		}
		if !accepts(text) {
			t.Errorf("%q was read and is not JSON", text)
		}
		if again, err := decodeState(encode(s)); err != nil || !same(again, s) {
			t.Errorf("%q is read as %v, and then as %v, %v", text, s, again, err)
		}
	})
}

func TestWhatIsNoItem(t *testing.T) {
	const at = `"stamp":"1795373052123-0000-3f9a2c7e1b40"`
	for text, want := range map[string]error{
		``:                                     errDamaged,
		`{}`:                                   errDamaged,
		`[]`:                                   errDamaged,
		`"format"`:                             errDamaged,
		`{"format":1}`:                         errDamaged,
		`{"format":1,"batches":[]}`:            errDamaged,
		`{"format":1,"batches":[{}]}`:          errDamaged,
		`{"format":1,"batches":[{` + at + `}]`: errDamaged,
		`{"format":1,"batches":[{` + at + `}]} x`:                    errDamaged,
		`{"format":1,"batches":[{"stamp":"now"}]}`:                   errDamaged,
		`{"format":1,"batches":[{"set":{"a":1},` + at + `}]}`:        errDamaged,
		`{"format":1,"batches":[{` + at + `,"clear":false}]}`:        errDamaged,
		`{"format":1,"batches":[{` + at + `,"set":{"":1}}]}`:         errDamaged,
		`{"format":1,"batches":[{` + at + `,"set":{"\ud800":1}}]}`:   errDamaged,
		`{"format":1,"batches":[{` + at + `,"remove":[""]}]}`:        errDamaged,
		`{"format":1,"batches":[{` + at + `,"more":1}]}`:             errDamaged,
		`{"format":1,"batches":[{` + at + `}],"more":1}`:             errDamaged,
		`{"batches":[{` + at + `}],"format":1}`:                      errDamaged,
		`{"format":2,"batches":[{` + at + `}]`:                       errDamaged,
		`{"format":2,"batches":[{` + at + `}]}`:                      errFormat,
		`{"format":"1"}`:                                             errFormat,
		`{"format":1,"batches":[{` + at + `,"set":{"a":"\ud800"}}]}`: nil,
		` { "format" : 1 , "batches" : [ { ` + at + ` } ] } `:        nil,
	} {
		if _, err := decodeState(text); err != want {
			t.Errorf("decode(%s) returned %v, want %v", text, err, want)
		}
	}
}

func TestSort(t *testing.T) {
	seeded(t, 1000, func(t *testing.T, r *rand.Rand) {
		texts := make([]string, r.IntN(200))
		for i := range texts {
			texts[i] = strconv.Itoa(r.IntN(100))
		}
		want := slices.Sorted(slices.Values(texts))
		if sort(texts); !slices.Equal(texts, want) {
			t.Errorf("sorted to %q", texts)
		}
	})
}
