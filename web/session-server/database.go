//go:build !js

package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/session-interop/session-writer/web/metrics"
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

// isPostgreSQL reports whether -db names a database of PostgreSQL.
func isPostgreSQL(db string) bool {
	scheme, _, _ := strings.Cut(db, "://")
	return strings.EqualFold(scheme, "postgres") || strings.EqualFold(scheme, "postgresql")
}

// openDatabase opens what -db names.
func openDatabase(s settings) (*database, error) {
	d := &database{name: "database of -db"}
	var err error
	if isPostgreSQL(s.db) {
		if d.sql, err = postgresql.Open(s.db); err == nil {
			d.DB = sqlstore.NewPostgreSQL(d.sql, s.limits)
		}
	} else {
		var path string
		path, err = databasePath(s.db)
		d.name, d.file = "database "+path, true
		if err == nil {
			d.sql, err = sqlite.Open(path, sqlite.Config{MaxBytes: s.maxSize << 20})
		}
		if err == nil {
			d.DB = sqlstore.New(d.sql, s.limits)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	return d, nil
}

// check returns an error that wraps sqlite.ErrDamaged if a file is damaged. PostgreSQL
// checks by itself what it reads, if it was made to.
func (d *database) check(ctx context.Context) error {
	if !d.file {
		return nil
	}
	return sqlite.Check(ctx, d.sql)
}

// metrics returns what is measured of a file.
func (d *database) metrics() []prometheus.Collector {
	if !d.file {
		return nil
	}
	return []prometheus.Collector{metrics.SQLite(d.sql)}
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
