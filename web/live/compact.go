//go:build !js

package live

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
)

// The buffers of a socket: messages in both directions are short, and net/http's take 4 KB
// each for as long as it is open.
const (
	readBuffer  = 128
	writeBuffer = 256
)

// withSmallBuffers returns w, whose connection has small buffers once it is taken over, if it can
// be.
func withSmallBuffers(w http.ResponseWriter) http.ResponseWriter {
	for has := w; ; {
		switch it := has.(type) {
		case http.Hijacker:
			return compact{w, it}
		case interface{ Unwrap() http.ResponseWriter }:
			has = it.Unwrap()
		default:
			return w
		}
	}
}

// A compact answer gives small buffers to who takes over its connection.
type compact struct {
	http.ResponseWriter
	hijacker http.Hijacker
}

// Hijack implements http.Hijacker.
func (c compact) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, had, err := c.hijacker.Hijack()
	if err != nil {
		return nil, nil, err
	}
	// What the client has sent already stays in the buffer, where it is looked for.
	sent, _ := had.Reader.Peek(had.Reader.Buffered())
	reader := bufio.NewReaderSize(bytes.NewReader(sent), max(readBuffer, len(sent)))
	_, _ = reader.Peek(len(sent))
	return conn, bufio.NewReadWriter(reader, bufio.NewWriterSize(conn, writeBuffer)), nil
}
