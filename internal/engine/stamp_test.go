package engine

import (
	"cmp"
	"testing"
)

func TestStampsSortAsTheyOrder(t *testing.T) {
	type parts struct {
		millis  int64
		counter int
		writer  string
	}
	ordered := []parts{
		{0, 0, "000000000000"},
		{0, 0, "000000000001"},
		{0, 1, "000000000000"},
		{9, maxCounter, "ffffffffffff"},
		{10, 0, "000000000000"},
		{start, 0, "a00000000000"},
		{start, 0xa, "000000000000"},
		{start, 0x10, "000000000000"},
		{MaxMillis - 1, maxCounter, "ffffffffffff"},
	}
	for i, a := range ordered {
		s := makeStamp(a.millis, a.counter, a.writer)
		if parsed, ok := ParseStamp(string(s)); !ok || parsed != s {
			t.Errorf("ParseStamp(%q) returned %q, %v", s, parsed, ok)
		}
		if s.Millis() != a.millis || s.counter() != a.counter {
			t.Errorf("%q is of %d, %d, want %d, %d", s, s.Millis(), s.counter(), a.millis, a.counter)
		}
		for j, b := range ordered {
			if got, want := cmp.Compare(s, makeStamp(b.millis, b.counter, b.writer)), cmp.Compare(i, j); got != want {
				t.Errorf("%v and %v compare as %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestWhatIsNoStamp(t *testing.T) {
	for _, text := range []string{
		"",
		"1795373052123-0000-3f9a2c7e1b4",
		"1795373052123-0000-3f9a2c7e1b400",
		"1795373052123-0000_3f9a2c7e1b40",
		"1795373052123-0000-3F9A2C7E1B40",
		"1795373052123-000g-3f9a2c7e1b40",
		"179537305212a-0000-3f9a2c7e1b40",
		"+795373052123-0000-3f9a2c7e1b40",
		"9000000000000-0000-3f9a2c7e1b40", // would leave clocks no room
	} {
		if s, ok := ParseStamp(text); ok {
			t.Errorf("ParseStamp(%q) returned %q", text, s)
		}
	}
}

func TestClockNeverRepeatsItself(t *testing.T) {
	var c Clock
	var last Stamp
	// The wall clock stands still, jumps back, and is nonsense.
	for _, now := range []int64{start, start, start + 1, start - 100_000, 0, -5, start, MaxMillis, 1 << 62, start + 2} {
		s, ok := c.Tick(now, "000000000000")
		if !ok || s <= last {
			t.Errorf("at %d: %q after %q", now, s, last)
		}
		if _, ok := ParseStamp(string(s)); !ok {
			t.Errorf("at %d: %q is no stamp", now, s)
		}
		last = s
	}
}

func TestClockGoesOnWhenItsCounterIsUsedUp(t *testing.T) {
	var c Clock
	c.See(makeStamp(start, maxCounter-1, "ffffffffffff"))
	for _, want := range []Stamp{
		makeStamp(start, maxCounter, "000000000000"),
		makeStamp(start+1, 0, "000000000000"),
		makeStamp(start+1, 1, "000000000000"),
	} {
		if got, ok := c.Tick(start, "000000000000"); !ok || got != want {
			t.Errorf("Tick returned %q, want %q", got, want)
		}
	}
}

func TestClockMovesPastWhatItSees(t *testing.T) {
	var c Clock
	seen := makeStamp(start+3_600_000, 7, "ffffffffffff")
	c.See(seen)
	c.See(makeStamp(start, 9, "ffffffffffff"))
	if s, ok := c.Tick(start, "000000000000"); !ok || s <= seen {
		t.Errorf("%q after seeing %q", s, seen)
	}
}

func TestAfterTheLastStampThereIsNone(t *testing.T) {
	var c Clock
	last := makeStamp(MaxMillis-1, maxCounter, "ffffffffffff")
	if _, ok := ParseStamp(string(last)); !ok {
		t.Fatalf("%q is no stamp", last)
	}
	c.See(last)
	if s, ok := c.Tick(start, "000000000000"); ok {
		t.Errorf("Tick returned %q after %q", s, last)
	}
	c.lower("")
	if s, ok := c.Tick(start, "000000000000"); !ok || s.Millis() != start {
		t.Errorf("Tick returned %q, %t after the clock was lowered", s, ok)
	}
}

func TestNextStamp(t *testing.T) {
	for at, want := range map[Stamp]Stamp{
		"1795373052123-0000-3f9a2c7e1b40": "1795373052123-0000-3f9a2c7e1b41",
		"1795373052123-0000-3f9a2c7e1b49": "1795373052123-0000-3f9a2c7e1b4a",
		"1795373052123-0000-3f9a2c7e1b4f": "1795373052123-0000-3f9a2c7e1b50",
		"1795373052123-00ff-ffffffffffff": "1795373052123-0100-000000000000",
		"1795373052199-ffff-ffffffffffff": "1795373052200-0000-000000000000",
	} {
		if got := at.Next(); got != want {
			t.Errorf("after %q comes %q, want %q", at, got, want)
		}
	}
}
