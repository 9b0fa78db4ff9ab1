//go:build !js

package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/session-interop/session-writer/web/postgresql"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// A database has the copies: a SQLite file, or a database of PostgreSQL.
type database struct {
	*sqlstore.DB
	sql *sql.DB
	// name is for the log. A URL may have a password.
	name string
	// file says that it is a SQLite file, which is to shrink after much was deleted.
	file bool
}

// isURL reports whether -db names a database of PostgreSQL.
func isURL(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// openDatabase opens what -db names. Only a file has a size in bytes that it may have, or 0
// for no limit.
func openDatabase(address string, maxBytes int64) (*database, error) {
	d := &database{name: "database of -db"}
	var err error
	if isURL(address) {
		if d.sql, err = postgresql.Open(address); err == nil {
			d.DB = sqlstore.NewPostgreSQL(d.sql, sqlstore.Limits{})
		}
	} else {
		d.name, d.file = "database "+address, true
		if d.sql, err = sqlite.Open(address, sqlite.Config{MaxBytes: maxBytes}); err == nil {
			d.DB = sqlstore.New(d.sql, sqlstore.Limits{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	return d, nil
}

// prepare lets shrink work on a file that an earlier version made.
func (d *database) prepare(ctx context.Context) error {
	if !d.file {
		return nil
	}
	return sqlite.Prepare(ctx, d.sql)
}

// shrink gives the room of what was deleted back to the file system. PostgreSQL uses it
// again by itself.
func (d *database) shrink(ctx context.Context) error {
	if !d.file {
		return nil
	}
	return sqlite.Shrink(ctx, d.sql, d.InTurn)
}
