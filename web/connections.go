//go:build !js

package main

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// maxConnections is how many connections there are at most, of which each takes
// some 10 KB.
const maxConnections = 4000

// connections keep the memory for connections in bounds.
type connections struct {
	most int

	mu   sync.Mutex
	open map[net.Conn]*list.Element // nil for those with a request in progress
	// waiting has those from which a request is awaited, and those who wait longest
	// first.
	waiting list.List
}

// changed is told of the connections' states. With one too many, the one is
// closed that waits longest for a request, or else the new one.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.open[conn]; at != nil {
		c.waiting.Remove(at)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		if c.open == nil {
			c.open = make(map[net.Conn]*list.Element)
		}
		c.open[conn] = c.waiting.PushBack(conn)
	case http.StateActive:
		c.open[conn] = nil
	default:
		delete(c.open, conn)
	}
	if state == http.StateNew && len(c.open) > c.most {
		first := c.waiting.Remove(c.waiting.Front()).(net.Conn)
		delete(c.open, first)
		// The server hears of it by an error, and tells that it is closed.
		_ = first.Close()
	}
}
