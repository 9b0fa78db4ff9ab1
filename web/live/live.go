// Package live tells pages and other devices of changes, at once, by WebSockets. What it sends
// is the name of the session that changed: the device then exchanges as always. So a message
// that is lost costs a delay, and nothing else.
//
// A Hub has the sockets of one process. Package web/server makes one by itself. A program that
// uses PostgreSQL from several processes gives each Hub a Bus, such as package web/postgresql
// has.
//
// A message of the server's is a JSON object: session is the name of the session that changed,
// and cursor up to where it goes now, as sqlstore.Watcher.Changed has it. Either may be
// missing. Without session, any may have changed. A client sends the text ping, and is sent the
// text pong, every PingInterval. The codes that a server closes with are CodeRestart,
// CodeEnded and CodeExpired; RFC 6455, section 7.4.1, has those of other ends.
package live

import "time"

// The codes with which a server closes a socket. A client that goes on exchanges when it has a
// new one, and before that if its address is old.
const (
	// CodeRestart means that the server ends. Clients come back after a random time, so that
	// not all of them come at once.
	CodeRestart = 1012
	// CodeEnded means that the device has no access any more.
	CodeEnded = 4001
	// CodeExpired means that the socket was open for as long as it may be, or that the server
	// has missed what others have changed. Clients come back at once.
	CodeExpired = 4002
)

const (
	// PingInterval is how often a client sends a ping. A proxy that waits for less than a
	// minute, as nginx does by default, keeps the connection.
	PingInterval = 45 * time.Second

	// Lifetime is how long a socket is open at most. A client comes anew before that.
	Lifetime = 2 * time.Hour
)
