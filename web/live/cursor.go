//go:build !js

package live

import (
	"strconv"
	"strings"
)

// furthest returns the one of two cursors, each told of a change, that only who has both changes
// has. It is empty if that is not known. What comes last is not the furthest: requests tell of
// their changes in any order.
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
