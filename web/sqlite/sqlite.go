//go:build !js

// Package sqlite opens the SQLite file of the native server.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// busyTimeout is how long one process waits for others.
const busyTimeout = 10 * time.Second

// pageSize is that of files which SQLite makes, in bytes.
const pageSize = 4096

// cacheSize is how many KiB of the file are kept in memory: about what the
// largest session takes, so that to write it is to write it once.
const cacheSize = 8 << 10

// A Config says how to open a file. The zero Config is the default.
type Config struct {
	// MaxBytes is how large the file may grow, or 0 for no limit. A commit that would
	// make it larger fails. A file that is larger already stays as it is.
	MaxBytes int64
}

// Open returns the database in a file, and makes the file if it is missing. A commit
// survives the end of the process, however that comes. It survives a power cut if the
// disk has really written what it says it has. Each commit is flushed
// (synchronous=FULL, in a write-ahead log).
//
// The path is always that of a file, also :memory:, and may be a link to one. A file
// that everybody could read is its user's alone afterwards. Deleted text is
// overwritten in the file at once, and in the log by the next Shrink.
//
// Several processes can use one file, on one machine.
func Open(path string, config Config) (*sql.DB, error) {
	// SQLite would make it as the umask says, and its log as it finds the file.
	made, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil {
		return nil, err
	}
	// SQLite keeps its log beside the file that a link leads to, and makes no file
	// of the path :memory:, but of an absolute one.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	pragmas := []string{"journal_mode(WAL)", "synchronous(FULL)", "secure_delete(ON)", fmt.Sprintf("cache_size(-%d)", cacheSize)}
	if config.MaxBytes > 0 {
		pragmas = append(pragmas, fmt.Sprintf("max_page_count(%d)", max(config.MaxBytes/pageSize, 1)))
	}
	with := func(more ...string) (driver.Connector, error) {
		query := url.Values{"_pragma": slices.Concat(more, pragmas)}
		file := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
		return sqlite.NewConnector(file.String())
	}
	c := connector{path: path}
	if c.made, err = with(waitFor(busyTimeout)); err != nil {
		return nil, err
	}
	if c.makes, err = with(waitFor(0), "auto_vacuum(INCREMENTAL)"); err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	// SQLite has one writer at a time. The others wait here in a line, rather
	// than in its busy handler, which lets who waited longest wait on.
	db.SetMaxOpenConns(1)
	return db, nil
}

// waitFor is the pragma that says how long to wait for others.
func waitFor(t time.Duration) string { return fmt.Sprintf("busy_timeout(%d)", t.Milliseconds()) }

// A connector waits while another process makes the file. SQLite does not: to
// begin a write-ahead log it makes a writer of a reader, which is refused at
// once, as two that waited so would wait for each other.
type connector struct {
	path string
	made driver.Connector
	// makes is for a file that is empty. It sets what only the first to write
	// can, and writes for that.
	makes driver.Connector
}

func (c connector) Driver() driver.Driver { return c.made.Driver() }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	for until := time.Now().Add(busyTimeout); ; {
		conn, err := c.connect(ctx)
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

func (c connector) connect(ctx context.Context) (conn driver.Conn, err error) {
	info, err := os.Stat(c.path)
	if err != nil {
		return nil, err
	}
	if info.Size() > 0 {
		conn, err = c.made.Connect(ctx)
	} else if conn, err = c.makes.Connect(ctx); err == nil {
		_, err = conn.(driver.ExecerContext).ExecContext(ctx, `PRAGMA `+waitFor(busyTimeout), nil)
	}
	if err == nil {
		err = c.hide()
	}
	if err != nil && conn != nil {
		_ = conn.Close()
		conn = nil
	}
	return conn, err
}

// hide takes the file, and what SQLite has beside it, from those who have
// nothing to do with it. Who has given it to a group alone meant that, and a file
// of another user is his concern.
func (c connector) hide() error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(c.path + suffix)
		if err == nil && info.Mode().Perm()&0o007 != 0 {
			err = os.Chmod(c.path+suffix, 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}
