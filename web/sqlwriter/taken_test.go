package sqlwriter

import "testing"

// Who finds a session over himself, and knew less of it than who ended it, does
// not show that it was not: unless what he saved then came soon enough after
// what he did not know.
func TestAnEndIsNotTakenBackByWhoFoundItOverToo(t *testing.T) {
	for _, test := range []struct {
		name  string
		found int64 // when he did
		want  string
	}{
		{"too late", 2500, "new:1 two:2"},
		{"soon enough", 1400, "had:1 last:1 new:1 two:2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t, Limits{})
			cursor := p.send("", at(0, `"set":{"had":1}`)).Cursor
			p.now = 500
			p.send(cursor, at(500, `"set":{"last":1}`))
			p.now = 2400
			p.send("", at(2300, ends(500, `"set":{"new":1}`)))
			p.has("new:1")
			p.now = 2600
			p.send(cursor, at(test.found, ends(0, `"set":{"two":2}`)))
			p.has(test.want)
		})
	}
}
