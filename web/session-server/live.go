//go:build !js

package main

import (
	"log"

	"github.com/session-interop/session-writer/web/live"
	"github.com/session-interop/session-writer/web/postgresql"
	"github.com/session-interop/session-writer/web/server"
)

// openLive returns what tells devices of changes, and what ends its connections to PostgreSQL
// after it is closed.
func openLive(s settings, logger *log.Logger) (tells server.Live, hangUp func(), err error) {
	if !s.live {
		return server.NoLive, func() {}, nil
	}
	config := live.Config{Sockets: s.sockets, ErrorLog: logger}
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
