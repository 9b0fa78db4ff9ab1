//go:build !js

package main

import (
	"context"
	"log"
	"os"

	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// backUp writes the database in a file into another file, and returns the exit code.
func backUp(ctx context.Context, from, to string, logger *log.Logger) int {
	if isPostgreSQL(from) {
		logger.Print("-backup is of a SQLite file: back up PostgreSQL by its own pg_dump, or by its log")
		return 2
	}
	file, err := databasePath(from)
	if err != nil {
		logger.Printf("database: %v", err)
		return 1
	}
	err = func() error {
		// A name that is wrong must not be that of a new file, of which nothing is backed up.
		if _, err := os.Stat(file); err != nil {
			return err
		}
		db, err := sqlite.Open(file, sqlite.Config{})
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		if err := sqlstore.New(db, sqlstore.Limits{}).Ping(ctx); err != nil {
			return err
		}
		return sqlite.Backup(ctx, db, to)
	}()
	if err != nil {
		logger.Printf("database %s: %v", file, err)
		return 1
	}
	return 0
}
