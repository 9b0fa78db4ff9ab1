//go:build !js

package live

import "github.com/session-interop/session-writer/web/internal/cursor"

// furthest returns the later one of two cursors, or an empty one if it is not known which that is.
// Each was told of a change, and who has the later one has both changes. It need not be the one
// that was told last: requests tell of their changes in any order.
func furthest(one, other string) string {
	at, another := cursor.Of(one), cursor.Of(other)
	switch {
	case at.IsZero() || another.IsZero():
		return ""
	case another.Covers(at):
		return other
	case at.Covers(another):
		return one
	}
	return ""
}
