//go:build !js

package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// dial opens a WebSocket, with the client's cookies. If it is refused, the answer may say how
// long to wait before the next try.
func dial(ctx context.Context, client *http.Client, address string) (conn *websocket.Conn, retry time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, pace.dial)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPClient: client})
	if err != nil && res != nil {
		retry = retryAfter(res.Header)
	}
	// It has the address, in which is a ticket.
	if failed, is := errors.AsType[*url.Error](err); is {
		err = failed.Err
	}
	return conn, retry, err
}

// giveUp closes a socket at once.
func giveUp(conn *websocket.Conn) { _ = conn.CloseNow() }
