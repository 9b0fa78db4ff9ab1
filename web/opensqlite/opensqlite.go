//go:build !js

// Package opensqlite has session.OpenURL keep sessions in a SQLite file:
//
//	import _ "github.com/session-interop/session-writer/web/opensqlite"
//	...
//	s, err := session.OpenURL(ctx, "sqlite:///var/lib/app/sessions.db?session=cart&owner=ada")
//
// The path is that of the file, as sqlite.PathOf reads it: sqlite:sessions.db is in the
// current folder. The file and its tables are made when they are missing. Both parameters
// are required, and there are no others: session is the session's name, and owner says
// whose it is. The session is the one that package sqlstore's DB.Open opens for them, with
// the default limits. What a Save survives, package sqlite says.
//
// Sessions in one file share an open database, which is closed with the last of them. What is no
// longer needed, such as the keys of what was removed, is deleted by session-server, or by
// a program that calls DB.Prune.
package opensqlite

import (
	"path/filepath"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

func init() { session.RegisterOpener("sqlite", sqlstore.Opener(source)) }

func source(u *session.URL) sqlstore.Source {
	path, err := sqlite.PathOf(u.URL)
	if err != nil {
		u.Refuse(err.Error())
	}
	return sqlstore.Source{
		Name: withoutLinks(path),
		Open: func() (*sqlstore.DB, error) {
			db, err := sqlite.Open(path, sqlite.Config{})
			if err != nil {
				return nil, err
			}
			return sqlstore.New(db, sqlstore.Limits{}), nil
		},
	}
}

// withoutLinks returns the path without links, as far as it is there.
func withoutLinks(path string) string {
	if found, err := filepath.EvalSymlinks(path); err == nil {
		return found
	}
	if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(folder, filepath.Base(path))
	}
	return path
}
