// Package client exchanges sessions with the server of package server, as the
// page does with session.sync.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/session-interop/session-writer"
)

// New returns how to exchange sessions, by their names, with the server whose
// API is at address, such as https://example.com/sessions/. The client must
// keep cookies (see net/http/cookiejar), unless its transport says in another
// way who it is.
//
// What the server refuses for want of room is an error that wraps
// session.ErrQuota.
func New(client *http.Client, address string) func(name string) session.Server {
	return func(name string) session.Server {
		return func(ctx context.Context, cursor, unsent string) (next, received string, err error) {
			return exchange(ctx, client, address, name, cursor, unsent)
		}
	}
}

func exchange(ctx context.Context, client *http.Client, address, name, cursor, unsent string) (next, received string, err error) {
	target, err := url.Parse(address)
	if err != nil {
		return "", "", err
	}
	target = target.JoinPath("exchange")
	query := url.Values{"session": {name}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(unsent))
	if err != nil {
		return "", "", err
	}
	if unsent != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", "", err
	}
	switch res.StatusCode {
	case http.StatusOK, http.StatusNoContent:
		return res.Header.Get("Session-Cursor"), string(body), nil
	case http.StatusPreconditionFailed:
		return "", "", refusal(session.ErrCursor, res, body)
	case http.StatusRequestEntityTooLarge:
		return "", "", refusal(session.ErrQuota, res, body)
	}
	return "", "", refusal(errRefused, res, body)
}

var errRefused = errors.New("the server refused the exchange")

// refusal returns what the server says of its refusal.
func refusal(means error, res *http.Response, body []byte) error {
	var says struct{ Code, Error string }
	if err := json.Unmarshal(body, &says); err != nil || says.Error == "" {
		return fmt.Errorf("%w: it answers %s", means, res.Status)
	}
	return fmt.Errorf("%w: it answers %s: %s", means, res.Status, says.Error)
}
