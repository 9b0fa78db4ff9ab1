//go:build !js

// Package postgresql opens the PostgreSQL database of native servers.
package postgresql

import (
	"database/sql"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// maxConns is how many connections a process has at most. By default a server of
// PostgreSQL has 100.
const maxConns = 10

// connectTimeout is how long to wait for a connection, unless the URL has connect_timeout.
const connectTimeout = 5 * time.Second

// parameters are what connections ask of the server, unless the URL has something else: for
// how long they wait for a lock, and how long a transaction may do nothing. A process or a
// machine that is gone holds its locks no longer. They are in milliseconds.
var parameters = map[string]string{
	"lock_timeout":                        "10000",
	"idle_in_transaction_session_timeout": "10000",
}

// errURL says nothing of the URL, where one cannot tell what is the password.
var errURL = errors.New("the URL must be like postgres://user:password@host:5432/database, with what is special in a password percent-encoded")

// Open returns the database of a URL such as postgres://user:password@host/database. What
// else may stand there is in PostgreSQL's documentation (section 34.1.1.2, Connection
// URIs). The file ~/.pgpass or PGPASSWORD may tell the password as well.
//
// Open does not connect yet. There are up to 10 connections, which SetMaxOpenConns
// changes. Several servers may be named for one database that is kept on both. With
// target_session_attrs=read-write, connections are to the one that takes writes. No error
// has the password.
func Open(address string) (*sql.DB, error) {
	config, err := parse(address)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

// Check returns the error that Open would return for a URL.
func Check(address string) error {
	_, err := parse(address)
	return err
}

// parse reads a URL.
func parse(address string) (*pgx.ConnConfig, error) {
	parsed, err := url.Parse(address)
	switch {
	case err != nil, parsed.Scheme != "postgres" && parsed.Scheme != "postgresql",
		parsed.Fragment != "", parsed.User == nil && strings.Contains(address, "@"):
		return nil, errURL
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	for name, value := range parameters {
		if _, ok := config.RuntimeParams[name]; !ok {
			config.RuntimeParams[name] = value
		}
	}
	return config, nil
}
