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
	// fresh are those whose first request is awaited, and idle those whose next is:
	// each with who waits longest first.
	fresh, idle list.List
}

// changed is told of the connections' states. With one too many, one is closed
// that waits for a request: of the fresh or the idle ones, whichever are more. So
// neither who only connects nor who keeps connections can shut out the others.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.open[conn]; at != nil {
		c.fresh.Remove(at)
		c.idle.Remove(at)
	}
	switch state {
	case http.StateNew:
		if c.open == nil {
			c.open = make(map[net.Conn]*list.Element)
		}
		c.open[conn] = c.fresh.PushBack(conn)
	case http.StateIdle:
		c.open[conn] = c.idle.PushBack(conn)
	case http.StateActive:
		c.open[conn] = nil
	default:
		delete(c.open, conn)
	}
	if state == http.StateNew && len(c.open) > c.most {
		more := &c.fresh
		if c.idle.Len() > c.fresh.Len() {
			more = &c.idle
		}
		first := more.Remove(more.Front()).(net.Conn)
		delete(c.open, first)
		// The server hears of it by an error, and tells that it is closed.
		_ = first.Close()
	}
}
