//go:build !js

package sqlite

import (
	"errors"
	"net/url"
	"path/filepath"
	"strings"
)

// PathOf returns the path of the file that a URL names, and ignores its query.
// sqlite:sessions.db is a file in the current folder, and sqlite:///var/lib/sessions.db one
// whose path begins at the root. In a path, ? is written %3F, # %23, and % %25. The path that
// is returned is absolute. The error says what would be right, and repeats nothing.
func PathOf(u *url.URL) (string, error) {
	const right = "it must be like sqlite:sessions.db, for a file in the current folder, or sqlite:///var/lib/sessions.db"
	path := u.Path
	if u.Opaque != "" {
		var err error
		if path, err = url.PathUnescape(u.Opaque); err != nil {
			return "", errors.New("path: it has a % that no two hexadecimal digits follow: % itself is written %25")
		}
	}
	switch {
	case u.Host != "" || u.User != nil:
		return "", errors.New("it has a host: " + right)
	case path == "" || strings.HasSuffix(path, "/") || strings.Contains(path, "\x00"):
		return "", errors.New("it names no file: " + right)
	}
	return filepath.Abs(path)
}
