package engine

import (
	"math/rand/v2"
	"sync/atomic"
)

// A Stamp says when a batch was made, and by whom: milliseconds since 1970
// (13 decimal digits), a counter (4 hexadecimal digits) and the writer
// (12 hexadecimal digits), as in
//
//	1795373052123-0000-3f9a2c7e1b40
//
// All stamps have one width, so their texts sort in the order of the stamps. They come
// from a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): a
// stamp that is made after seeing another is greater, whatever the wall clocks say.
type Stamp string

const (
	millisDigits  = 13
	counterDigits = 4
	writerDigits  = 12
	counterBits   = 4 * counterDigits
	stampLength   = millisDigits + 1 + counterDigits + 1 + writerDigits

	// MaxMillis is in the year 2255. A text with this time or a later one is no stamp,
	// so no stamp can push a clock out of its 13 digits.
	MaxMillis  = 9_000_000_000_000
	maxCounter = 1<<counterBits - 1

	// A clock that is further ahead than this has seen the stamp of a wrong clock.
	maxAhead = 24 * 60 * 60 * 1000
)

// ParseStamp returns text as a Stamp, and whether it is one.
func ParseStamp(text string) (Stamp, bool) {
	if len(text) != stampLength ||
		text[millisDigits] != '-' ||
		text[millisDigits+1+counterDigits] != '-' {
		return "", false
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case i == millisDigits || i == millisDigits+1+counterDigits:
		case '0' <= c && c <= '9':
		case i > millisDigits && 'a' <= c && c <= 'f':
		default:
			return "", false
		}
	}
	s := Stamp(text)
	return s, s.Millis() < MaxMillis
}

// makeStamp returns the stamp of those parts. Each must be within its limits.
func makeStamp(millis int64, counter int, writer string) Stamp {
	var text [stampLength]byte
	writeDigits(text[:millisDigits], millis, 10)
	text[millisDigits] = '-'
	writeDigits(text[millisDigits+1:][:counterDigits], int64(counter), 16)
	text[millisDigits+1+counterDigits] = '-'
	copy(text[stampLength-writerDigits:], writer)
	return Stamp(text[:])
}

// writeDigits fills text with n in a base, with leading zeros.
func writeDigits(text []byte, n, base int64) {
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = "0123456789abcdef"[n%base]
		n /= base
	}
}

// number reads what writeDigits wrote.
func number(digits Stamp, base int64) (n int64) {
	for i := range len(digits) {
		d := digits[i] - '0'
		if d > 9 {
			d = digits[i] - 'a' + 10
		}
		n = n*base + int64(d)
	}
	return n
}

// parseMillis reads a time in the form that it has in a stamp.
func parseMillis(text string) (millis int64, ok bool) {
	at, ok := ParseStamp(text + "-0000-000000000000")
	if !ok {
		return 0, false
	}
	return at.Millis(), true
}

// Millis returns the time of the stamp in milliseconds since 1970.
func (s Stamp) Millis() int64 { return number(s[:millisDigits], 10) }

// Next returns the least stamp that is greater.
func (s Stamp) Next() Stamp {
	text := []byte(s)
	for i := len(text) - 1; i >= 0; i-- {
		switch {
		case text[i] == '-':
		case text[i] == 'f' || i < millisDigits && text[i] == '9':
			text[i] = '0'
		case text[i] == '9':
			text[i] = 'a'
			return Stamp(text)
		default:
			text[i]++
			return Stamp(text)
		}
	}
	return Stamp(text)
}

// counter returns the counter, which differs between stamps of one millisecond.
func (s Stamp) counter() int {
	return int(number(s[millisDigits+1:millisDigits+1+counterDigits], 16))
}

// NewWriter returns a random writer id. Its 48 bits are enough: two writers with one id
// would still have to save in the same millisecond to clash.
func NewWriter() string { return writerOf(rand.Uint64()) }

func writerOf(random uint64) string {
	var text [writerDigits]byte
	writeDigits(text[:], int64(random>>(64-4*writerDigits)), 16)
	return string(text[:])
}

// A Clock makes stamps. Each is greater than all that the Clock has made and seen. It is
// safe for concurrent use. The zero Clock is ready for use.
//
// The Sessions for one session in a process share a Clock, so that of two saves within
// a millisecond the later wins.
type Clock struct {
	// last has the milliseconds of the greatest stamp and, in its lowest bits, the
	// counter. One more is the next stamp.
	last atomic.Int64
}

// Tick returns a new stamp of the writer. now is the wall clock's time in milliseconds
// since 1970. If that is behind what the clock has seen, the clock counts on from there.
// ok is false if the clock has reached the last stamp.
func (c *Clock) Tick(now int64, writer string) (at Stamp, ok bool) {
	for {
		last := c.last.Load()
		next := last + 1
		if now < MaxMillis {
			next = max(next, now<<counterBits)
		}
		if next>>counterBits >= MaxMillis {
			return "", false
		}
		if c.last.CompareAndSwap(last, next) {
			return makeStamp(next>>counterBits, int(next&maxCounter), writer), true
		}
	}
}

// See moves the clock past a stamp.
func (c *Clock) See(s Stamp) {
	seen := s.Millis()<<counterBits | int64(s.counter())
	for {
		last := c.last.Load()
		if seen <= last || c.last.CompareAndSwap(last, seen) {
			return
		}
	}
}

// ahead reports whether the clock has seen the stamp of a wrong clock.
func (c *Clock) ahead(now int64) bool { return c.last.Load()>>counterBits > now+maxAhead }

// lower moves the clock back to a stamp, or to its beginning if that is empty. Call it
// only when nothing with a later stamp is left.
func (c *Clock) lower(to Stamp) {
	c.last.Store(0)
	if to != "" {
		c.See(to)
	}
}
