// Package cursor reads of cursors what all that hear of changes compare. A sqlstore.DB makes them.
package cursor

import (
	"strconv"
	"strings"
)

// A Position is how far a session goes on the server: an epoch, which ends when all is removed
// there, and a version.
type Position struct {
	epoch   string
	version uint64
}

// Of returns that of a cursor, <epoch>-<version> and perhaps more. It is zero if there is none.
func Of(text string) Position {
	epoch, rest, _ := strings.Cut(text, "-")
	digits, _, _ := strings.Cut(rest, "-")
	version, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || epoch == "" {
		return Position{}
	}
	return Position{epoch, version}
}

// IsZero reports whether there is none.
func (p Position) IsZero() bool { return p == Position{} }

// Covers reports whether who is at p has what there is up to the other one. Anybody has what there
// is up to none.
func (p Position) Covers(other Position) bool {
	return other.IsZero() || p.epoch == other.epoch && p.version >= other.version
}
