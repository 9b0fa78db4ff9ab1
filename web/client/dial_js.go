package client

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// dial opens a WebSocket, with the browser's cookies. Browsers tell nothing of why one is
// refused.
func dial(ctx context.Context, _ *http.Client, address string) (conn *websocket.Conn, retry time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, pace.dial)
	defer cancel()
	conn, _, err = websocket.Dial(ctx, address, nil)
	if err != nil {
		return nil, 0, withoutAddress(err)
	}
	return conn, 0, nil
}

// withoutAddress returns the error in one of Dial, which has the address, in which is a ticket.
func withoutAddress(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return errors.New("the WebSocket does not open")
}

// giveUp closes a socket. Of the codes in RFC 6455, section 7.4.1, browsers let pages give this
// one alone.
func giveUp(conn *websocket.Conn) { _ = conn.Close(websocket.StatusNormalClosure, "") }
