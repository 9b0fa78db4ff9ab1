//go:build !js

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes all that is committed in a database into a file of its own, while others
// read and write, in this process or in others. The file has one moment of the database:
// each commit whole or not at all. It is flushed to the disk, is readable for its user
// alone, and is as small as can be. It has nothing that was deleted.
//
// There is no file at path before it is complete. The error wraps fs.ErrExist, and
// nothing is overwritten, if there is one already. Backup needs as much room as the
// database has rows. Until it ends, the log of the database grows by what others write.
func Backup(ctx context.Context, db *sql.DB, path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("backup: %w", err)
		}
	}()
	if err := missing(path); err != nil {
		return err
	}
	// In the folder in which it will be, so that it can be renamed.
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // for its user alone
	if err != nil {
		return err
	}
	unfinished := file.Name()
	defer func() { err = errors.Join(err, file.Close(), removed(unfinished)) }()
	// SQLite takes a path that begins with file: for a URI.
	absolute, err := filepath.Abs(unfinished)
	if err != nil {
		return err
	}
	// It reads in one transaction. The backup API of SQLite begins anew after each
	// commit of another process, and so might never end (sqlite.org/backup.html).
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, absolute); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := missing(path); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// missing returns an error if there is something at a path.
func missing(path string) error {
	_, err := os.Lstat(path)
	if err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removed removes a file, if it is there.
func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncFolder flushes a folder, and so the name of a file that is new in it.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
