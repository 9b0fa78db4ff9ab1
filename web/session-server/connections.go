//go:build !js

package main

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// maxConnections is how many connections there are at most. Each takes some 10 KB.
const maxConnections = 4000

// socketBuffer is how many bytes the system takes to be sent to a socket before its client reads.
// By default that grows to 4 MB, and somebody who opens many sockets and reads none of them could
// make the system keep as much for each.
const socketBuffer = 16 << 10

// connections limit the memory for connections. Those that have become sockets are none of
// them any more: limits.sockets limits these, of which none gives way.
type connections struct {
	most int

	mu   sync.Mutex
	open map[net.Conn]*list.Element // nil for a connection with a request in progress
	// fresh are the connections that wait for their first request, and idle those that
	// wait for the next one. In each, the one that waits longest is first.
	fresh, idle list.List
}

// count returns how many connections there are.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// changed hears of the connections' states. If there is one connection too many, it
// closes one that waits for a request. It takes one of the fresh or the idle ones,
// whichever are more. So neither a client that only connects nor one that keeps
// connections can shut out others.
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
	case http.StateHijacked:
		delete(c.open, conn)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(socketBuffer) // or else it has the system's
		}
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
		// The server notices by an error, and reports that the connection is closed.
		_ = first.Close()
	}
}
