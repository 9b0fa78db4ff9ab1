package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// SQLite and D1 have one writer at a time, and each statement sees what all before it have
// written. D1 has no transactions of several statements. So each statement here is a
// transaction of its own, and does no harm if others come between two. On PostgreSQL others
// also write during a statement. There, a transaction first holds what it is about.

// holdingSession calls do while nobody else merges into a session or deletes anything of
// it, and it returns errGone if the session is not there. If do returns an error, nothing
// that it did remains. On SQLite and D1 it only calls do.
func (d *DB) holdingSession(ctx context.Context, of id, do func(ctx context.Context) error) error {
	return d.holding(ctx, d.dialect.holdSession, of.parameters(), do)
}

// counting calls do while nobody else adds to what is counted by a name, so that a limit
// holds.
func (d *DB) counting(ctx context.Context, name string, do func(ctx context.Context) error) error {
	return d.holding(ctx, d.dialect.holdCount, []any{name}, do)
}

// Within a transaction, holding only calls do: that holds the same already.
func (d *DB) holding(ctx context.Context, hold string, parameters []any, do func(ctx context.Context) error) error {
	if onD1 || hold == "" || ctx.Value(inTransaction{}) != nil { // in a Worker, the rest would take room
		return do(ctx)
	}
	return d.again(ctx, func() error { return d.hold(ctx, hold, parameters, do) })
}

// inTransaction is the context's key of its transaction.
type inTransaction struct{}

func (d *DB) hold(ctx context.Context, hold string, parameters []any, do func(ctx context.Context) error) error {
	// Each statement is to see what others have committed before it, and not before the
	// transaction had to wait for them.
	tx, err := d.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return d.describe(err)
	}
	defer func() { _ = tx.Rollback() }() // without effect after Commit
	within := context.WithValue(ctx, inTransaction{}, tx)
	var held string
	err = d.queryRow(within, hold, parameters, &held)
	if errors.Is(err, sql.ErrNoRows) {
		err = errGone
	}
	if err == nil {
		err = do(within)
	}
	if err == nil {
		err = tx.Commit()
	}
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		err = ctx.Err() // which has ended the transaction
	}
	return d.describe(err)
}

// again calls do again if the database has undone it for the sake of others.
func (d *DB) again(ctx context.Context, do func() error) error {
	for tries := 1; ; tries++ {
		err := do()
		if code := sqlState(err); code != serializationFailure && code != deadlock || tries == maxTries || ctx.Err() != nil {
			return err
		}
	}
}

// Codes of PostgreSQL's errors (its documentation, appendix A).
const (
	serializationFailure = "40001"
	deadlock             = "40P01"
	lockTimeout          = "55P03"
	tooManyConnections   = "53300"
	diskFull             = "53100"
)

// sqlState returns the code of an error of PostgreSQL, or "".
func sqlState(err error) string {
	if coded, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return coded.SQLState()
	}
	return ""
}

// A runner runs one statement.
type runner interface {
	ExecContext(ctx context.Context, parameters ...any) (sql.Result, error)
	QueryContext(ctx context.Context, parameters ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, parameters ...any) *sql.Row
}

// prepare returns what runs a statement. On SQLite it is prepared once, because that takes
// longer than running it, and closed with the database. PostgreSQL's drivers see to that
// themselves. To prepare a statement beside a transaction would take another connection,
// for which all others that have one may wait as well.
func (d *DB) prepare(ctx context.Context, statement string) (runner, error) {
	if !onD1 && d.dialect.concurrent {
		text := unprepared{d.db, strings.ReplaceAll(statement, "?", "$")}
		if tx, ok := ctx.Value(inTransaction{}).(*sql.Tx); ok {
			text.on = tx
		}
		return text, nil
	}
	if had, ok := d.prepared.Load(statement); ok {
		return had.(*sql.Stmt), nil
	}
	stmt, err := d.db.PrepareContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	if had, ok := d.prepared.LoadOrStore(statement, stmt); ok {
		return had.(*sql.Stmt), stmt.Close()
	}
	return stmt, nil
}

// An unprepared is a statement, and a *sql.DB or *sql.Tx that is to run it.
type unprepared struct {
	on interface {
		ExecContext(ctx context.Context, statement string, parameters ...any) (sql.Result, error)
		QueryContext(ctx context.Context, statement string, parameters ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, statement string, parameters ...any) *sql.Row
	}
	statement string
}

func (u unprepared) ExecContext(ctx context.Context, parameters ...any) (sql.Result, error) {
	return u.on.ExecContext(ctx, u.statement, parameters...)
}

func (u unprepared) QueryContext(ctx context.Context, parameters ...any) (*sql.Rows, error) {
	return u.on.QueryContext(ctx, u.statement, parameters...)
}

func (u unprepared) QueryRowContext(ctx context.Context, parameters ...any) *sql.Row {
	return u.on.QueryRowContext(ctx, u.statement, parameters...)
}

func (d *DB) exec(ctx context.Context, statement string, parameters ...any) error {
	run, err := d.prepare(ctx, statement)
	if err == nil {
		_, err = run.ExecContext(ctx, parameters...)
	}
	return err
}

// queryRow scans the one row that a statement returns.
func (d *DB) queryRow(ctx context.Context, statement string, parameters []any, into ...any) error {
	run, err := d.prepare(ctx, statement)
	if err != nil {
		return err
	}
	return run.QueryRowContext(ctx, parameters...).Scan(into...)
}

// query calls scan with each row that a statement returns.
func (d *DB) query(ctx context.Context, statement string, parameters []any, scan func(row *sql.Rows) error) (err error) {
	run, err := d.prepare(ctx, statement)
	if err != nil {
		return err
	}
	rows, err := run.QueryContext(ctx, parameters...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
