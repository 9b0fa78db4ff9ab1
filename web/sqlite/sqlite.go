//go:build !js

// Package sqlite opens the SQLite file of the native server.
package sqlite

import (
	"database/sql"
	"net/url"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Open returns the database in a file, which is made when it is missing. What
// is committed there survives the end of the process, however it comes, and a
// power cut, as far as the disk keeps what it says that it has written: each
// commit is flushed (synchronous=FULL, in a write-ahead log).
//
// Several processes can use one file, on one machine.
func Open(path string) (*sql.DB, error) {
	query := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"}}
	file := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	return sql.Open("sqlite", file.String())
}
