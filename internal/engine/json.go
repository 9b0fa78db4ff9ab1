package engine

import (
	"strings"
	"unicode/utf8"
)

// A scanner reads one JSON text (RFC 8259) from the front. After the first fault bad is
// set, and the scanner returns only empty texts. It is no library, because each visitor
// of a page would download more for one than for all of this package. Fuzzing compares
// it with jsontext.
//
// It does not recurse, so its memory is bounded by the length of the text.
type scanner struct {
	text string
	pos  int
	bad  bool
}

// peek returns the next byte that is not white space, and 0 at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// fail marks the text as bad and moves to its end, where every loop stops.
//
//go:noinline
func (s *scanner) fail() {
	s.bad = true
	s.pos = len(s.text)
}

// take reads c, which must come next.
func (s *scanner) take(c byte) {
	if s.peek() != c {
		s.fail()
		return
	}
	s.pos++
}

// end marks the text as bad unless it is at its end.
func (s *scanner) end() {
	s.peek()
	if s.pos < len(s.text) {
		s.fail()
	}
}

// list reads an array or object, between open and close. It calls element at the start
// of each element, and element must read it.
func (s *scanner) list(open, close byte, element func()) {
	s.take(open)
	if s.peek() == close && !s.bad {
		s.pos++
		return
	}
	for !s.bad {
		element()
		if s.peek() == close {
			s.take(close)
			return
		}
		s.take(',')
	}
}

// object reads an object. It calls member with each name, and member must read the value
// that comes next.
func (s *scanner) object(member func(name string)) {
	s.list('{', '}', func() {
		name := s.str()
		s.take(':')
		if !s.bad {
			member(name)
		}
	})
}

// value reads any value and returns its text.
func (s *scanner) value() string {
	s.peek()
	start := s.pos
	// Whether each open array or object is an object. A byte for each is simpler than a
	// bit, and the text has more.
	var open []bool
	for !s.bad {
		switch c := s.peek(); {
		case c == '{':
			s.pos++
			if s.peek() == '}' {
				s.pos++
				break
			}
			open = append(open, true)
			s.name()
			continue
		case c == '[':
			s.pos++
			if s.peek() == ']' {
				s.pos++
				break
			}
			open = append(open, false)
			continue
		case c == '"':
			s.quoted()
		case c == '-' || '0' <= c && c <= '9':
			s.number()
		case c == 't':
			s.literal("true")
		case c == 'f':
			s.literal("false")
		case c == 'n':
			s.literal("null")
		default:
			s.fail()
		}
		// A value has ended, and with it every list whose end comes next.
		for len(open) > 0 && !s.bad {
			inObject := open[len(open)-1]
			if c := s.peek(); c == ',' {
				s.pos++
				if inObject {
					s.name()
				}
				break
			} else if inObject && c == '}' || !inObject && c == ']' {
				s.pos++
				open = open[:len(open)-1]
			} else {
				s.fail()
			}
		}
		if len(open) == 0 {
			break
		}
	}
	if s.bad {
		return ""
	}
	return s.text[start:s.pos]
}

// name reads the name of a member and its colon.
func (s *scanner) name() {
	s.quoted()
	s.take(':')
}

func (s *scanner) literal(word string) {
	if !strings.HasPrefix(s.text[s.pos:], word) {
		s.fail()
		return
	}
	s.pos += len(word)
}

func (s *scanner) number() {
	next := func() byte {
		if s.pos < len(s.text) {
			return s.text[s.pos]
		}
		return 0
	}
	digits := func() {
		if c := next(); c < '0' || '9' < c {
			s.fail()
		}
		for c := next(); '0' <= c && c <= '9'; c = next() {
			s.pos++
		}
	}
	if next() == '-' {
		s.pos++
	}
	if next() == '0' {
		s.pos++
	} else {
		digits()
	}
	if next() == '.' {
		s.pos++
		digits()
	}
	if c := next(); c == 'e' || c == 'E' {
		s.pos++
		if c := next(); c == '+' || c == '-' {
			s.pos++
		}
		digits()
	}
}

// quoted reads a string and returns its text, without the quotes and with its escapes as
// they stand. It may have an escaped lone surrogate, because JSON.stringify writes those
// (ECMA-262, "QuoteJSONString") and a value is kept as it came.
func (s *scanner) quoted() (raw string) {
	s.take('"')
	start := s.pos
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		switch {
		case c == '"':
			s.pos++
			return s.text[start : s.pos-1]
		case c == '\\':
			s.escape()
		case c < ' ':
			s.fail()
		case c < utf8.RuneSelf:
			s.pos++
		default:
			if r, size := utf8.DecodeRuneInString(s.text[s.pos:]); r == utf8.RuneError && size == 1 {
				s.fail()
			} else {
				s.pos += size
			}
		}
	}
	s.fail()
	return ""
}

// escape reads one escape of a string and returns its UTF-16 code unit.
func (s *scanner) escape() rune {
	if s.pos+1 >= len(s.text) {
		s.fail()
		return 0
	}
	c := s.text[s.pos+1]
	s.pos += 2
	switch c {
	case '"', '\\', '/':
		return rune(c)
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		var unit rune
		for range 4 {
			if s.pos == len(s.text) {
				s.fail()
				return 0
			}
			n := strings.IndexByte("0123456789abcdef", s.text[s.pos]|0x20)
			if n < 0 || s.text[s.pos] < '0' {
				s.fail()
				return 0
			}
			unit = unit<<4 | rune(n)
			s.pos++
		}
		return unit
	}
	s.fail()
	return 0
}

// str reads a string and returns it without escapes. It is for keys. No key has a lone
// surrogate, so one is a fault here and not in a value.
func (s *scanner) str() string {
	raw := s.quoted()
	if s.bad || strings.IndexByte(raw, '\\') < 0 {
		return raw
	}
	in := scanner{text: raw}
	out := make([]byte, 0, len(raw))
	for in.pos < len(raw) {
		if raw[in.pos] != '\\' {
			out = append(out, raw[in.pos])
			in.pos++
			continue
		}
		r := in.escape()
		if isHigh := 0xD800 <= r && r < 0xDC00; isHigh && strings.HasPrefix(raw[in.pos:], `\u`) {
			if low := in.escape(); 0xDC00 <= low && low < 0xE000 {
				r = (r-0xD800)<<10 | (low - 0xDC00) + 0x10000
			}
		}
		if !utf8.ValidRune(r) {
			s.fail()
			return ""
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// AppendString appends text to dst as a JSON string. Bytes that are not valid UTF-8 come
// out as U+FFFD.
func AppendString(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xF])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// AppendEntries appends the entries to dst as a JSON object.
func AppendEntries(dst []byte, entries []Entry) []byte {
	dst = append(dst, '{')
	for i, e := range entries {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, e.Key), ':')
		dst = append(dst, e.Value...)
	}
	return append(dst, '}')
}
