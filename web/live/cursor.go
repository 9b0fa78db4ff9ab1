//go:build !js

package live

import (
	"strconv"
	"strings"
)

// furthest returns the later one of two cursors, or an empty one if it is not known which that is.
// Each was told of a change, and who has the later one has both changes. It need not be the one
// that was told last: requests tell of their changes in any order.
func furthest(one, other string) string {
	epoch, digits, _ := strings.Cut(one, "-")
	another, otherDigits, _ := strings.Cut(other, "-")
	version, err := strconv.ParseUint(digits, 10, 63)
	otherVersion, noOther := strconv.ParseUint(otherDigits, 10, 63)
	switch {
	case err != nil || noOther != nil || epoch != another:
		return ""
	case version > otherVersion:
		return one
	}
	return other
}
