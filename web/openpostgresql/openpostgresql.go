//go:build !js

// Package openpostgresql has session.OpenURL keep sessions in a database of PostgreSQL:
//
//	import _ "github.com/session-interop/session-writer/web/openpostgresql"
//	...
//	s, err := session.OpenURL(ctx, "postgres://app@db.internal/app?session=cart&owner=ada")
//
// The URL is what postgresql.Open takes, and has two parameters more, which are required:
// session is the session's name, and owner says whose it is. The tables are made when they
// are missing. The session is the one that package sqlstore's DB.Open opens for them, with
// the default limits. What a Save survives, package sqlstore says.
//
// Sessions in one database share its connections, which are closed with the last of them.
// What is no longer needed, such as the keys of what was removed, is deleted by
// session-server, or by a program that calls DB.Prune.
package openpostgresql

import (
	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/postgresql"
	"github.com/session-interop/session-writer/web/sqlstore"
)

func init() {
	opener := sqlstore.Opener(source)
	session.RegisterOpener("postgres", opener)
	session.RegisterOpener("postgresql", opener)
}

// source takes all parameters that are left: they are the driver's.
func source(u *session.URL) sqlstore.Source {
	at := *u.URL
	at.RawQuery = u.Rest().Encode()
	address := at.String()
	open := func() (*sqlstore.DB, error) {
		db, err := postgresql.Open(address)
		if err != nil {
			return nil, err
		}
		return sqlstore.NewPostgreSQL(db, sqlstore.Limits{}), nil
	}
	if err := postgresql.Check(address); err != nil {
		u.Refuse(err.Error())
	}
	return sqlstore.Source{Name: address, Open: open}
}
