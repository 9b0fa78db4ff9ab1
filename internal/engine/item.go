package engine

import "slices"

// format is the number of the stored form that this package reads and writes:
//
//	{"format":1,"batches":[
//	  {"stamp":"1795373052123-0000-3f9a2c7e1b40","clear":true,
//	   "set":{"user":{"name":"Ada"}},"remove":["cart"]}]}
//
// A batch needs its stamp. Its other members may be left out. An item that Save wrote
// has one batch. A compacted item has a batch for each stamp whose entries still count,
// in the order of the stamps.
//
// The session was alive from the first entry or removal in an item until its newest
// batch, even if what was saved in between no longer counts. If it was alive since
// another time, that stands before the batches, in milliseconds:
// "since":"1795373052000".
const format = "1"

// The two ways in which an item can be unreadable.
var (
	// errDamaged: no version can make sense of it.
	errDamaged = Fault("damaged item")
	// errFormat: another version may have written it.
	errFormat = Fault("item of an unknown format")
)

// decode reads the text of an item. Its memory is bounded by the length of the text. The
// content keeps parts of the text.
func decode(text string) (content, error) {
	var (
		out   content
		s     = scanner{text: text}
		found string // the format
		since int64
		says  bool // since when
	)
	s.object(func(name string) {
		switch {
		case found == "" && name == "format":
			found = s.value()
		case found == "":
			s.fail()
		case found != format:
			s.value()
		case name == "since":
			if since, says = parseMillis(s.str()); !says {
				s.fail()
			}
		case name == "batches":
			s.list('[', ']', func() { decodeBatch(&s, &out) })
		default:
			s.fail()
		}
	})
	s.end()
	switch {
	case s.bad || found == "" || found == format && out.newest == "":
		return content{}, errDamaged
	case found != format:
		return content{}, errFormat
	}
	if out.since = since; !says {
		first := out.newest
		for _, r := range out.assignments {
			first = min(first, r.stamp)
		}
		out.since = first.Millis()
	}
	return out, nil
}

// decodeBatch reads one batch and merges it into out.
func decodeBatch(s *scanner, out *content) {
	var at Stamp
	s.object(func(name string) {
		switch {
		case at == "" && name == "stamp":
			var ok bool
			if at, ok = ParseStamp(s.str()); !ok {
				s.fail()
			}
		case at == "":
			s.fail()
		case name == "clear":
			if s.value() != "true" {
				s.fail()
			} else {
				out.cleared = max(out.cleared, at)
			}
		case name == "set":
			s.object(func(key string) {
				if value := s.value(); key == "" {
					s.fail()
				} else if !s.bad {
					out.assignments = append(out.assignments, assignment{key, version{at, value}})
				}
			})
		case name == "remove":
			s.list('[', ']', func() {
				if key := s.str(); key == "" {
					s.fail()
				} else {
					out.assignments = append(out.assignments, assignment{key, version{stamp: at}})
				}
			})
		default:
			s.fail()
		}
	})
	if at == "" {
		s.fail()
	}
	out.newest = max(out.newest, at)
}

// A Batch is what one save, removal or clearing writes. Its JSON goes into the item as
// it is, so whoever makes a Batch must see to it that the JSON is well-formed.
type Batch struct {
	// Clear drops every entry that is older than the batch.
	Clear bool
	// Set is empty, or Given, or an object with the entries to be set. The object has
	// no white space, no key twice and no empty key.
	Set string
	// Remove is empty, or an array of the keys to be removed, of the same form. No key
	// is in Set and Remove.
	Remove string
	// GivenSize is the size of the text that Given stands for, in bytes or about.
	GivenSize int
	// GivenKeys is an array of the keys in that text. It is needed while somebody
	// watches.
	GivenKeys string
}

// Given stands for the entries of a Batch that the storage was given before, and is the
// only text in a Batch that is no JSON. The storage puts the entries in its place in the
// text of the item, which has no other NUL.
const Given = "\x00"

func (b Batch) empty() bool {
	sets := b.Set != "" && b.Set != "{}" && (b.Set != Given || b.GivenSize > len("{}"))
	removes := b.Remove != "" && b.Remove != "[]"
	return !b.Clear && !sets && !removes
}

// appendBatch appends a batch to the text of an item. It begins the text if it is empty.
//
//go:noinline
func appendBatch(text []byte, at Stamp, b Batch) []byte {
	if len(text) == 0 {
		text = append(text, `{"format":`+format...)
	}
	if text[len(text)-1] != '}' {
		text = append(text, `,"batches":[`...)
	} else {
		text = append(text, ',')
	}
	text = append(text, `{"stamp":"`...)
	text = append(text, at...)
	text = append(text, '"')
	if b.Clear {
		text = append(text, `,"clear":true`...)
	}
	if b.Set != "" {
		text = append(text, `,"set":`...)
		text = append(text, b.Set...)
	}
	if b.Remove != "" {
		text = append(text, `,"remove":`...)
		text = append(text, b.Remove...)
	}
	return append(text, '}')
}

// aliveFrom begins the text of an item with the time since when the session was alive.
func aliveFrom(text []byte, since int64) []byte {
	var digits [millisDigits]byte
	writeDigits(digits[:], since, 10)
	text = append(text, `{"format":`+format+`,"since":"`...)
	return append(append(text, digits[:]...), '"')
}

// endItem ends the text of an item.
func endItem(text []byte) string { return string(append(text, `]}`...)) }

// encode returns the text of an item that says what s says. s must not be empty.
func encode(s state) string {
	var stamps []Stamp
	if s.newest != "" {
		stamps = append(stamps, s.newest)
	}
	if s.cleared != "" {
		stamps = append(stamps, s.cleared)
	}
	for _, v := range s.entries {
		stamps = append(stamps, v.stamp)
	}
	sort(stamps)

	var text []byte
	if s.since != 0 && s.since != s.first() {
		text = aliveFrom(text, s.since)
	}
	keys := s.keys()
	for _, at := range slices.Compact(stamps) {
		var set, remove []byte
		for ; len(keys) > 0 && s.entries[keys[0]].stamp == at; keys = keys[1:] {
			if v := s.entries[keys[0]]; v.removed() {
				remove = AppendString(append(remove, ','), keys[0])
			} else {
				set = append(AppendString(append(set, ','), keys[0]), ':')
				set = append(set, v.value...)
			}
		}
		text = appendBatch(text, at, Batch{
			Clear:  at == s.cleared,
			Set:    enclose('{', set, '}'),
			Remove: enclose('[', remove, ']'),
		})
	}
	return endItem(text)
}

// enclose puts elements between brackets. Each element comes after a comma.
func enclose(open byte, elements []byte, close byte) string {
	if elements == nil {
		return ""
	}
	elements[0] = open
	return string(append(elements, close))
}
