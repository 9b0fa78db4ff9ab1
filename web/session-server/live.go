//go:build !js

package main

import (
	"log"

	"github.com/session-interop/session-writer/web/live"
	"github.com/session-interop/session-writer/web/postgresql"
	"github.com/session-interop/session-writer/web/server"
)

// maxSockets is how many sockets there are at most, beside maxConnections. Each takes some 11 KB,
// and up to 32 KB of the system's while its client does not read.
const maxSockets = 5000

// openLive returns what tells devices of changes, and what ends its connections to PostgreSQL
// after it is closed.
func openLive(s settings, logger *log.Logger) (tells server.Live, hangUp func(), err error) {
	if !s.live {
		return server.NoLive, func() {}, nil
	}
	config := live.Config{Sockets: maxSockets, ErrorLog: logger}
	if !isPostgreSQL(s.db) {
		return live.NewHub(config), func() {}, nil
	}
	bus, err := postgresql.NewBus(s.db)
	if err != nil {
		return nil, nil, err
	}
	config.Bus = bus
	return live.NewHub(config), bus.Close, nil
}
