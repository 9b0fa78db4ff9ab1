//go:build !js

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestAFileThatAnotherProcessMakes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	another, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = another.Close() }()
	making, err := another.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := making.Exec(`CREATE TABLE a (b)`); err != nil {
		t.Fatal(err)
	}

	db, err := Open(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ctx := &patient{Context: t.Context(), times: 3}
	if err := db.PingContext(ctx); !errors.Is(err, errPatience) {
		t.Errorf("as it is made: %v, want to wait for as long as may be", err)
	}
	if err := making.Commit(); err != nil {
		t.Fatal(err)
	}
	var mode string
	if err := db.QueryRow(`PRAGMA journal_mode`).Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("when it is made: journal mode %q, %v, want wal", mode, err)
	}
}

// A patient context is done once that was asked so many times: first by
// database/sql, and then by who waits and tries again.
type patient struct {
	context.Context
	times int
}

var errPatience = errors.New("out of patience")

func (p *patient) Done() <-chan struct{} {
	done := make(chan struct{})
	if p.times--; p.times < 0 {
		close(done)
	}
	return done
}

func (p *patient) Err() error {
	if p.times < 0 {
		return errPatience
	}
	return nil
}

// open opens a file.
func open(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := Open(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func TestAFileIsForItsUserAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	for _, test := range []struct{ had, want os.FileMode }{
		{0, 0o600}, {0o644, 0o600}, {0o666, 0o600}, {0o600, 0o600}, {0o640, 0o640},
	} {
		path := filepath.Join(t.TempDir(), "sessions.db")
		if test.had != 0 {
			had, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			exec(t, had, `PRAGMA journal_mode = WAL`)
			exec(t, had, `CREATE TABLE before (a)`)
			if err := errors.Join(os.Chmod(path, test.had), had.Close()); err != nil {
				t.Fatal(err)
			}
		}
		exec(t, open(t, path), `CREATE TABLE a (b)`)
		for _, suffix := range []string{"", "-wal", "-shm"} {
			info, err := os.Stat(path + suffix)
			if err != nil || info.Mode() != test.want {
				t.Errorf("sessions.db%s was %v and is %v, %v, want %v", suffix, test.had, info.Mode(), err, test.want)
			}
		}
	}
	// What is no database stays as it is.
	path := filepath.Join(t.TempDir(), "index.html")
	if err := os.WriteFile(path, []byte(strings.Repeat("<html>", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Ping(); err == nil {
		t.Error("what is no database is opened")
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("what is no database is now %v, %v", info.Mode(), err)
	}
}

func TestAFileBehindALinkIsForItsUserAlone(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	for _, there := range []bool{true, false} {
		folder := t.TempDir()
		path, link := filepath.Join(folder, "sessions.db"), filepath.Join(t.TempDir(), "link.db")
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		if there {
			had, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			exec(t, had, `PRAGMA journal_mode = WAL`)
			if err := errors.Join(os.Chmod(path, 0o644), had.Close()); err != nil {
				t.Fatal(err)
			}
		}
		exec(t, open(t, link), `CREATE TABLE a (b)`)
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if info, err := os.Stat(path + suffix); err != nil {
				t.Error(err)
			} else if info.Mode() != 0o600 {
				t.Errorf("with a file: %v: sessions.db%s is %v", there, suffix, info.Mode())
			}
		}
		if beside, err := os.ReadDir(filepath.Dir(link)); err != nil || len(beside) != 1 {
			t.Errorf("with a file: %v: beside the link there is %v, %v", there, beside, err)
		}
	}
}

func TestEveryPathIsThatOfAFile(t *testing.T) {
	for _, path := range []string{":memory:", "file:sessions.db", "file::memory:", "file:a?mode=memory", "sessions?mode=memory", "a#b", "a%20b", "a b"} {
		t.Chdir(t.TempDir())
		exec(t, open(t, path), `CREATE TABLE a (b)`)
		var names []string
		entries, err := os.ReadDir(".")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if want := []string{path, path + "-shm", path + "-wal"}; !slices.Equal(names, want) {
			t.Errorf("there is %q, want %q", names, want)
		} else if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%q is empty, %v", path, err)
		}
	}
}

func TestAFileInAFolderThatIsMissing(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "missing", "sessions.db"), Config{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that it does not exist", err)
	}
}

// size returns how many bytes a database takes, and how often a text is in
// them.
func size(t *testing.T, path, text string) (bytes, found int) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		bytes += len(content)
		found += strings.Count(string(content), text)
	}
	return bytes, found
}

const secret = "a text that nobody else has"

// fill writes and deletes 10 MB.
func fill(t *testing.T, db *sql.DB) {
	t.Helper()
	exec(t, db, `CREATE TABLE a (b)`)
	for range 100 {
		exec(t, db, `INSERT INTO a VALUES ('`+strings.Repeat(secret, 100_000/len(secret))+`')`)
	}
	exec(t, db, `DELETE FROM a`)
}

func TestWhatIsDeletedIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	db := open(t, path)
	fill(t, db)
	if err := Shrink(t.Context(), db, nil); err != nil {
		t.Fatal(err)
	}
	if bytes, found := size(t, path, secret); found > 0 || bytes > 100_000 {
		t.Errorf("it takes %d bytes, and has what was deleted %d times", bytes, found)
	}
	if err := Shrink(t.Context(), db, nil); err != nil {
		t.Errorf("when there is nothing to do: %v", err)
	}
}

func TestAFileOfBeforeIsPrepared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	before, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, before)
	exec(t, before, `INSERT INTO a VALUES ('kept')`)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	db := open(t, path)
	if err := Shrink(t.Context(), db, nil); err != nil {
		t.Error(err)
	}
	if bytes, _ := size(t, path, secret); bytes < 1_000_000 {
		t.Errorf("it takes %d bytes before it is prepared", bytes)
	}
	for range 2 {
		if err := errors.Join(Prepare(t.Context(), db), Shrink(t.Context(), db, nil)); err != nil {
			t.Error(err)
		}
		if bytes, found := size(t, path, secret); found > 0 || bytes > 100_000 {
			t.Errorf("it takes %d bytes, and has what was deleted %d times", bytes, found)
		}
	}
	var kept, mode string
	if err := errors.Join(db.QueryRow(`SELECT b FROM a`).Scan(&kept), db.QueryRow(`PRAGMA auto_vacuum`).Scan(&mode)); err != nil || kept != "kept" || mode != "2" {
		t.Errorf("it has %q, in the mode %s, %v", kept, mode, err)
	}
}

func TestALargeFileOfBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	before, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, before, `CREATE TABLE a (b)`)
	exec(t, before, fmt.Sprintf(`INSERT INTO a VALUES (zeroblob(%d))`, smallFile))
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(t.Context(), open(t, path)); !errors.Is(err, ErrFixed) || !strings.Contains(err.Error(), "VACUUM") {
		t.Errorf("got %v, want ErrFixed and what to do", err)
	}
}

func TestAFileThatMayNotGrow(t *testing.T) {
	const limit = 1 << 20
	path := filepath.Join(t.TempDir(), "sessions.db")
	db, err := Open(path, Config{MaxBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	exec(t, db, `CREATE TABLE a (b)`)
	for n := 0; ; n++ {
		if _, err = db.Exec(`INSERT INTO a VALUES (zeroblob(100000))`); err != nil || n > 20 {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "database or disk is full") {
		t.Errorf("got %v, want that it is full", err)
	}
	exec(t, db, `DELETE FROM a`)
	exec(t, db, `INSERT INTO a VALUES (zeroblob(100000))`)
	if err := Shrink(t.Context(), db, nil); err != nil {
		t.Fatal(err)
	}
	if bytes, _ := size(t, path, secret); bytes > limit {
		t.Errorf("it takes %d bytes, and may take %d", bytes, limit)
	}
}

// reader keeps another process's read of a file open.
func reader(t *testing.T, path string) *sql.Tx {
	t.Helper()
	tx, err := open(t, path).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRow(`SELECT count(*) FROM a`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func TestWhatIsDeletedIsStillRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	db := open(t, path)
	fill(t, db)
	tx := reader(t, path)
	exec(t, db, `INSERT INTO a VALUES ('`+secret+`')`)
	if err := Shrink(t.Context(), db, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("as another reads: %v, want ErrInUse", err)
	}
	// Meanwhile everybody waits for as long as the connection does.
	var during, after int64
	if err := errors.Join(hurried(t.Context(), db, func(conn *sql.Conn) error {
		return conn.QueryRowContext(t.Context(), `PRAGMA busy_timeout`).Scan(&during)
	}), db.QueryRow(`PRAGMA busy_timeout`).Scan(&after)); err != nil || during != 100 || after != busyTimeout.Milliseconds() {
		t.Errorf("the connection waits %d ms, and afterwards %d ms, %v", during, after, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := Shrink(t.Context(), db, nil); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() != 0 {
		t.Errorf("the log has %d bytes, %v", info.Size(), err)
	}
}

func TestShrinkTakesTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	db := open(t, path)
	fill(t, db)
	turns := 0
	err := Shrink(t.Context(), db, func(ctx context.Context, do func() error) error {
		turns++
		if n := db.Stats().InUse; n != 0 {
			t.Errorf("%d connections are in use between turns", n)
		}
		return do()
	})
	if err != nil || turns < 3 {
		t.Errorf("there were %d turns, %v", turns, err)
	}
	refused := errors.New("no turn")
	exec(t, db, `INSERT INTO a VALUES (1)`)
	if err := Shrink(t.Context(), db, func(context.Context, func() error) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v, want that there is no turn", err)
	}
}
