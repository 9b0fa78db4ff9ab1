//go:build !js

// Package sqlite opens the SQLite file of the native server.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// busyTimeout is how long one process waits for others.
const busyTimeout = 10 * time.Second

// Open returns the database in a file, which is made when it is missing. What
// is committed there survives the end of the process, however it comes, and a
// power cut, as far as the disk keeps what it says that it has written: each
// commit is flushed (synchronous=FULL, in a write-ahead log).
//
// Several processes can use one file, on one machine.
func Open(path string) (*sql.DB, error) {
	busy := fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())
	query := url.Values{"_pragma": {busy, "journal_mode(WAL)", "synchronous(FULL)"}}
	file := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	direct, err := sqlite.NewConnector(file.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(patient{direct})
	// SQLite has one writer at a time. The others wait here in a line, rather
	// than in its busy handler, which lets who waited longest wait on.
	db.SetMaxOpenConns(1)
	return db, nil
}

// A patient connector waits while another process makes the file. SQLite does
// not: to begin a write-ahead log it makes a writer of a reader, which is
// refused at once, as two that waited so would wait for each other.
type patient struct{ driver.Connector }

func (p patient) Connect(ctx context.Context) (driver.Conn, error) {
	for until := time.Now().Add(busyTimeout); ; {
		conn, err := p.Connector.Connect(ctx)
		refused, ok := errors.AsType[*sqlite.Error](err)
		if !ok || refused.Code()&0xff != sqlite3.SQLITE_BUSY || time.Now().After(until) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
