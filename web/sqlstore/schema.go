package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// schema is the schema that web/worker/migrate.js applies, too.
//
//go:embed schema/*.sql
var schema embed.FS

// ErrLaterVersion means that a database was made by a later version of this
// package, which alone knows what is in it.
var ErrLaterVersion = errors.New("the database is of a later version of this program")

// errEarlierVersion means that D1 would not migrate a database in one transaction.
var errEarlierVersion = errors.New("the database is of an earlier version: make deploy migrates it, and make edge that on this machine")

// onD1 says that the database is D1, which has no transaction of several calls.
const onD1 = runtime.GOOS == "js"

// maxWaits is how often createSQLite waits for another writer, each time as long as the
// database waits.
const maxWaits = 10

// Create makes the tables that are not there yet, and moves to them what
// earlier versions of this package kept in others, in one transaction. Several
// processes may do so at once: the others wait for the first. The error wraps
// ErrLaterVersion when another version than this is needed. On PostgreSQL, only who has
// something to make needs the right to make tables.
//
// On D1 it makes tables in an empty database only. There, make deploy and make edge
// migrate one that is not.
func (d *DB) Create(ctx context.Context) error {
	create := createSQLite
	if d.dialect.create != nil {
		create = d.dialect.create
	}
	if err := create(ctx, d.db); err != nil {
		return fmt.Errorf("create the tables: %w", err)
	}
	return nil
}

func createSQLite(ctx context.Context, db *sql.DB) error {
	err := tryCreateSQLite(ctx, db)
	for waits := 1; waits < maxWaits && err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "database is locked"); waits++ {
		err = tryCreateSQLite(ctx, db) // another process may be migrating, which takes long
	}
	return err
}

func tryCreateSQLite(ctx context.Context, db *sql.DB) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if onD1 {
		return migrate(ctx, conn)
	}
	// A transaction of database/sql only reads until it first writes. Then it fails if
	// another process has written meanwhile.
	if _, err := conn.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	if err := migrate(ctx, conn); err != nil {
		_, undone := conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
		return errors.Join(err, undone)
	}
	_, err = conn.ExecContext(ctx, `COMMIT`)
	if err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
	}
	return err
}

// migrate applies the files that the plan names.
func migrate(ctx context.Context, conn *sql.Conn) error {
	plan := statements(schema, "schema/plan.sql")
	ask := plan[len(plan)-1]
	for _, statement := range plan[:len(plan)-1] {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	var files sql.NullString
	switch err := conn.QueryRowContext(ctx, ask).Scan(&files); {
	case err != nil:
		return err
	case !files.Valid:
		return ErrLaterVersion
	case onD1 && files.String != "" && files.String != "tables.sql owners.sql devices.sql":
		return errEarlierVersion
	}
	for _, file := range strings.Fields(files.String) {
		for _, statement := range statements(schema, "schema/"+file) {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

// statements returns the statements of a file of a schema.
func statements(schema embed.FS, file string) []string {
	text, err := schema.ReadFile(file)
	if err != nil {
		panic(err) // the plan names only files that are there
	}
	return strings.Split(string(text), "\n\n")
}
