//go:build !js

package server

import "github.com/session-interop/session-writer/web/live"

// defaultLive is for a server that is one process.
func defaultLive(config Config) Live { return live.NewHub(live.Config{ErrorLog: config.ErrorLog}) }
