//go:build !js

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrDamaged means that a file is not as SQLite has written it. That happens if a file is
// replaced, and the log of the former one stays beside it (sqlite.org/howtocorrupt.html,
// section 1.4).
var ErrDamaged = errors.New("the file is damaged")

// Check reads a whole database, and returns an error that wraps ErrDamaged if something is
// wrong with it. A file of a gigabyte takes seconds, in which others wait.
func Check(ctx context.Context, db *sql.DB) error {
	var says string
	err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&says)
	if refused, ok := errors.AsType[*sqlite.Error](err); ok && refused.Code()&0xff == sqlite3.SQLITE_CORRUPT {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err == nil && says != "ok" {
		err = fmt.Errorf("%w: %s", ErrDamaged, strings.ReplaceAll(says, "\n", " "))
	}
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return nil
}
