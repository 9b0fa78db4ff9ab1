package sqlstore

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// joinOne joins one span at a time, which is plain to see, and takes long.
func joinOne(lives []span, s span, maxAge int64) []span {
	var before, after []span
	for _, life := range lives {
		switch {
		case life[1] < s[0]-maxAge:
			before = append(before, life)
		case life[0] > s[1]+maxAge:
			after = append(after, life)
		default:
			s = span{min(s[0], life[0]), max(s[1], life[1])}
		}
	}
	return slices.Concat(before, []span{s}, after)
}

func TestJoin(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	someSpans := func(most int) (spans []span) {
		for range random.IntN(most + 1) {
			from := random.Int64N(300)
			spans = append(spans, span{from, from + random.Int64N(20)})
		}
		return spans
	}
	for range 20_000 {
		var lives []span
		for _, s := range someSpans(8) {
			lives = joinOne(lives, s, 1)
		}
		spans, maxAge := someSpans(8), 1+random.Int64N(40)
		inOrder := slices.SortedFunc(slices.Values(spans), func(a, b span) int { return int(a[0] - b[0]) })
		want := lives
		for _, s := range inOrder {
			want = joinOne(want, s, maxAge)
		}
		if got := join(lives, spans, maxAge); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %v and %v, with %d between them, are %v, want %v", seed, lives, spans, maxAge, got, want)
		}
	}
}

func TestJoinWithoutMaximumAge(t *testing.T) {
	lives := []span{{10, 20}, {30, 40}, {50, 60}}
	for _, test := range []struct{ spans, want []span }{
		{[]span{{70, 70}}, []span{{10, 20}, {30, 40}, {50, 70}}},
		{[]span{{55, 55}}, lives},
		{[]span{{25, 26}}, []span{{10, 20}, {25, 60}}},
		{[]span{{90, 90}, {70, 70}}, []span{{10, 20}, {30, 40}, {50, 90}}},
		{[]span{{5, 5}}, []span{{5, 60}}},
	} {
		if got := join(lives, test.spans, 0); !slices.Equal(got, test.want) {
			t.Errorf("with %v they are %v, want %v", test.spans, got, test.want)
		}
	}
	if got := join(nil, []span{{90, 90}, {70, 70}}, 0); !slices.Equal(got, []span{{70, 90}}) {
		t.Errorf("alone they are %v", got)
	}
}

// As many as a body of 2 MiB has: one by one, it would take 40 s.
func TestManySpansAreJoined(t *testing.T) {
	var spans []span
	for i := range int64(30_000) {
		spans = append(spans, span{1000 * i, 1000 * i})
	}
	next, end := lives{}.add(spans, 1, 0)
	if len(next.Past) != maxPast || next.Begin != 29_999_000 || end != 29_999_000 {
		t.Errorf("%d lives before one from %d to %d", len(next.Past), next.Begin, end)
	}
}
