//go:build !js

package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// A Size is the size of a database's file, in bytes. The log beside the file does not
// count.
type Size struct {
	// File is how large the file is, and Free how much of it has no rows. Shrink gives
	// that back to the file system.
	File, Free int64
	// Limit is how large the file may grow: see Config.MaxBytes.
	Limit int64
}

// Measure returns the size of a database. It waits for the connection to the database, as
// any call does.
func Measure(ctx context.Context, db *sql.DB) (Size, error) {
	var s Size
	err := db.QueryRowContext(ctx, `SELECT page_size * page_count, page_size * freelist_count, page_size * max_page_count
		FROM pragma_page_size, pragma_page_count, pragma_freelist_count, pragma_max_page_count`).Scan(&s.File, &s.Free, &s.Limit)
	if err != nil {
		return Size{}, fmt.Errorf("measure: %w", err)
	}
	return s, nil
}
