//go:build !js

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// count returns how many rows a table has.
func count(t *testing.T, db *sql.DB, table string) (n int) {
	t.Helper()
	if err := db.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestABackupOfWhatOthersWrite(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	folder := t.TempDir()
	db := open(t, filepath.Join(folder, "sessions.db"))
	fill(t, db) // which is deleted
	exec(t, db, `CREATE TABLE one (n)`)
	exec(t, db, `CREATE TABLE other (n)`)

	// Two connections stand for two processes: the one who serves, and the backup.
	ctx, cancel := context.WithCancel(t.Context())
	var written atomic.Int64
	ended := make(chan error)
	go func() {
		for n := 0; ; n++ {
			tx, err := db.BeginTx(ctx, nil)
			if err == nil {
				_, err = tx.Exec(`INSERT INTO one VALUES (?)`, n)
			}
			if err == nil {
				_, err = tx.Exec(`INSERT INTO other VALUES (?)`, n)
			}
			if err == nil {
				err = tx.Commit()
			}
			if ctx.Err() != nil {
				ended <- nil
				return
			}
			if err != nil {
				ended <- err
				return
			}
			written.Add(1)
		}
	}()
	reach := func(n int64) {
		for written.Load() < n {
			select {
			case err := <-ended:
				t.Fatal(err)
			case <-time.After(time.Millisecond):
			}
		}
	}
	another := open(t, filepath.Join(folder, "sessions.db"))
	path := filepath.Join(folder, "file: backup?mode=memory.db")
	reach(10)
	before := written.Load()
	if err := Backup(t.Context(), another, path); err != nil {
		t.Fatal(err)
	}
	after := written.Load() + 1 // that may be committed and not counted yet
	reach(after + 10)           // others go on
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the backup is %v, %v, want that it is for its user alone", info.Mode(), err)
	}
	if content, err := os.ReadFile(path); err != nil || strings.Contains(string(content), secret) || len(content) > 200_000 {
		t.Errorf("the backup has %d bytes, and perhaps what was deleted: %v", len(content), err)
	}
	if others, err := filepath.Glob(filepath.Join(folder, ".*")); err != nil || len(others) > 0 {
		t.Errorf("it has left %q, %v", others, err)
	}
	backup := open(t, path)
	if one, other := count(t, backup, "one"), count(t, backup, "other"); one != other || int64(one) < before || int64(one) > after {
		t.Errorf("the backup has %d rows and %d, want as many, from %d to %d", one, other, before, after)
	}
	var mode, check string
	if err := errors.Join(backup.QueryRow(`PRAGMA auto_vacuum`).Scan(&mode), backup.QueryRow(`PRAGMA integrity_check`).Scan(&check)); err != nil || mode != "2" || check != "ok" {
		t.Errorf("the backup cannot shrink: mode %s, or is not whole: %s, %v", mode, check, err)
	}
}

func TestABackupOverwritesNothing(t *testing.T) {
	folder := t.TempDir()
	db := open(t, filepath.Join(folder, "sessions.db"))
	exec(t, db, `CREATE TABLE a (b)`)
	path := filepath.Join(folder, "backup.db")
	for _, has := range []string{"", "what is there"} {
		if err := os.WriteFile(path, []byte(has), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Backup(t.Context(), db, path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("got %v, want that it is there", err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != has {
			t.Errorf("now it has %q, %v", got, err)
		}
	}
}

func TestABackupThatFailsLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	db := open(t, filepath.Join(folder, "sessions.db"))
	exec(t, db, `CREATE TABLE a (b)`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	to := t.TempDir()
	if err := Backup(ctx, db, filepath.Join(to, "backup.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it is cancelled", err)
	}
	if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
		t.Errorf("it has left %v, %v", left, err)
	}
	if err := Backup(t.Context(), db, filepath.Join(to, "missing", "backup.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is missing: %v", err)
	}
}

func TestAFileThatIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	db := open(t, path)
	fill(t, db)
	exec(t, db, `CREATE TABLE kept (n)`)
	for range 1000 {
		exec(t, db, `INSERT INTO kept VALUES ('`+secret+`')`)
	}
	if err := errors.Join(Shrink(t.Context(), db, nil), Check(t.Context(), db), db.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[len(content)/2:], strings.Repeat("\xff", 2*pageSize))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), open(t, path)); !errors.Is(err, ErrDamaged) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want that it is damaged", err)
	}
}

func TestMeasure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	db, err := Open(path, Config{MaxBytes: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	fill(t, db)
	got, err := Measure(t.Context(), db)
	if err != nil || got.Limit != 32<<20 || got.Free < 9_000_000 || got.File < got.Free {
		t.Errorf("with what is deleted: %+v, %v", got, err)
	}
	if err := Shrink(t.Context(), db, nil); err != nil {
		t.Fatal(err)
	}
	got, err = Measure(t.Context(), db)
	if info, _ := os.Stat(path); err != nil || got.Free != 0 || got.File != info.Size() {
		t.Errorf("afterwards: %+v, %v, want %d bytes", got, err, info.Size())
	}
}
