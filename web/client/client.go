// Package client syncs the sessions of Go programs with a server of package
// web/server, as pages do with session.sync.
//
// Importing it also registers https for session.OpenURL, and http for servers on this
// machine:
//
//	s, err := session.OpenURL(ctx, "https://example.com/sessions/?session=cart")
//
// The URL is that of the server's API. Its parameters are session, the session's name, which
// is required, maxAge, and cookies, the path of a file. Opening makes an exchange, and so does each call: a read before
// it reads, and a write when it has changed a copy in memory. So a Save that returns nil
// has reached the server, and survives what the server's database survives. After an error
// the session is what it was, and nothing is sent later. As with any database elsewhere,
// there is one exception: if the connection breaks, or the context is done, while the
// server answers, the server may have saved all of it. A program that must save without a
// connection opens a session of its own, and calls Sync.
//
// The server knows the program by its cookies. Those are in the file that the parameter
// cookies names, which is made when it is missing, for its user alone: whoever reads it has
// the sessions. It should be one process's at a time. Without it, the cookies last as long as
// the process, and the next one is another visitor, whose sessions are empty. The sessions of
// one server and one such file share their cookies.
//
// Follow keeps sessions of the program's own and their copies on a server the same, as a page's
// session.sync does: what another device saves is there at once.
//
// A server that knows its users (Config.Identify of package server) can know the program by
// the user and the password of the URL, which are sent as HTTP's basic authentication. If the
// server takes the program for another owner than before, calls return a
// *session.OwnerError, and the session is to be opened anew.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
)

// New returns a function that returns the replica of the session of a name. The
// server's API is at address, such as https://example.com/sessions/.
//
// The client must keep cookies (see net/http/cookiejar), unless its transport tells
// the server in another way who it is. Sessions that share the client's cookies must
// share the function that New returns. Otherwise the server may take those that begin
// at once for several visitors'.
//
// A redirect to another host, or from https to http, is an error. So is an answer of
// more than 16 MiB. What the server refuses is a *RefusalError.
func New(client *http.Client, address string) func(name string) session.Replica {
	return replicas(bind(client), address, func(http.Header) {})
}

// bind returns a client that follows no redirect to another host.
func bind(client *http.Client) *http.Client {
	bound := *client
	bound.CheckRedirect = func(to *http.Request, via []*http.Request) error {
		from := via[0].URL
		if to.URL.Host != from.Host || from.Scheme == "https" && to.URL.Scheme != "https" {
			return fmt.Errorf("%s redirects to another host: %s://%s", from.Host, to.URL.Scheme, to.URL.Host)
		}
		if client.CheckRedirect != nil {
			return client.CheckRedirect(to, via)
		}
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
	return &bound
}

// replicas does what New does with a client that is bound. It calls heard with the header of each
// answer that is no refusal.
func replicas(client *http.Client, address string, heard func(http.Header)) func(name string) session.Replica {
	// Two sessions that ask at once who this is would be told of two visitors.
	asking := make(chan struct{}, 1)
	return func(name string) session.Replica {
		return func(ctx context.Context, sent session.Sent) (session.Received, error) {
			if sent.Owner == "" {
				select {
				case asking <- struct{}{}:
					defer func() { <-asking }()
				case <-ctx.Done():
					return session.Received{}, ctx.Err()
				}
			}
			got, header, err := exchange(ctx, client, address, name, sent)
			if err == nil {
				heard(header)
			}
			return got, err
		}
	}
}

func exchange(ctx context.Context, client *http.Client, address, name string, sent session.Sent) (session.Received, http.Header, error) {
	target, err := url.Parse(address)
	if err != nil {
		return session.Received{}, nil, err
	}
	target = target.JoinPath("exchange")
	query := url.Values{"session": {name}}
	for parameter, value := range map[string]string{"owner": sent.Owner, "cursor": sent.Cursor} {
		if value != "" {
			query.Set(parameter, value)
		}
	}
	for parameter, millis := range map[string]int64{"now": sent.Now, "max-age": sent.MaxAge} {
		if millis > 0 {
			query.Set(parameter, strconv.FormatInt(millis, 10))
		}
	}
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(sent.Items))
	if err != nil {
		return session.Received{}, nil, err
	}
	if sent.Items != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return session.Received{}, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, engine.MaxAnswer+1))
	if err != nil {
		return session.Received{}, nil, err
	}
	if len(body) > engine.MaxAnswer {
		return session.Received{}, nil, fmt.Errorf("the server answers more than %d bytes", engine.MaxAnswer)
	}
	if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusNoContent {
		got, err := received(res.Header, string(body))
		return got, res.Header, err
	}
	return session.Received{}, nil, refusal(res, body)
}

// received returns what an answer says.
func received(header http.Header, item string) (session.Received, error) {
	got := session.Received{Cursor: valueIn(header, "Session-Cursor"), Item: item, Age: -1}
	if _, ok := header["Session-Cursor"]; !ok {
		return session.Received{}, errors.New("the answer is of no server of sessions: it has no Session-Cursor")
	}
	if got.Cursor != "" && !engine.IsCursor(got.Cursor) {
		return session.Received{}, unexpected("Session-Cursor", got.Cursor)
	}
	_, got.Complete = header["Session-Complete"]
	var err error
	if got.Owner, err = ownerIn(header); err != nil {
		return session.Received{}, err
	}
	if got.Owner == "" && (got.Cursor != "" || item != "") {
		return session.Received{}, unexpected("Session-Owner", "")
	}
	if valueIn(header, "Session-Age") != "" {
		got.Age, err = millisIn(header, "Session-Age")
	}
	return got, err
}

// valueIn returns what a header has. What is sent twice is one value, which is of no form
// that a server gives.
func valueIn(header http.Header, name string) string {
	return strings.Join(header.Values(name), ", ")
}

// ownerIn returns the tag of an owner that an answer has, or none.
func ownerIn(header http.Header) (string, error) {
	tag := valueIn(header, "Session-Owner")
	if tag != "" && !engine.IsTag(tag) {
		return "", unexpected("Session-Owner", tag)
	}
	return tag, nil
}

// millisIn returns the milliseconds that a header has, in 15 digits at most.
func millisIn(header http.Header, name string) (int64, error) {
	text := valueIn(header, name)
	millis, err := strconv.ParseUint(text, 10, 63)
	if err != nil || len(text) > 15 {
		return 0, unexpected(name, text)
	}
	return int64(millis), nil
}

func unexpected(name, value string) error {
	return fmt.Errorf("the answer has a %s that no server of sessions gives: %q", name, value)
}

var (
	// ErrBusy means that the server has too much to do: the same exchange may
	// succeed once RefusalError.RetryAfter is over.
	ErrBusy = errors.New("the server is busy")

	errRefused = errors.New("the server refused the exchange")
)

// A RefusalError is an answer of the server that is no exchange. It wraps what it
// means: ErrBusy, or the error of package session that Sync returns for it, if any.
type RefusalError struct {
	// Status is the answer's HTTP status.
	Status int
	// Code is the server's word for it (see package server), or empty when
	// something else has answered.
	Code string
	// Reason is the server's sentence, or empty.
	Reason string
	// RetryAfter is how long to wait before the next try, or 0 when the answer does
	// not say.
	RetryAfter time.Duration

	means error
}

func (e *RefusalError) Error() string {
	text := fmt.Sprintf("%v: it answers %d %s", e.means, e.Status, http.StatusText(e.Status))
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Unwrap returns what the refusal means.
func (e *RefusalError) Unwrap() error { return e.means }

// refusal returns what a refusal is in the words of package session, with what
// the server says of it.
func refusal(res *http.Response, body []byte) error {
	refused := &RefusalError{Status: res.StatusCode, RetryAfter: retryAfter(res.Header), means: errRefused}
	var says map[string]any // something else may have answered
	_ = json.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &says)
	refused.Code, _ = says["code"].(string)
	refused.Reason, _ = says["error"].(string)
	switch {
	case refused.Code == "busy" || res.StatusCode == http.StatusTooManyRequests:
		refused.means = ErrBusy
	case res.StatusCode == http.StatusInsufficientStorage && refused.Code == "full":
		refused.means = session.ErrFull
	case res.StatusCode == http.StatusRequestEntityTooLarge: // also for what stands before a server
		refused.means = session.ErrQuota
	case res.StatusCode == http.StatusPreconditionFailed && refused.Code == "cursor":
		refused.means = session.ErrCursor
	case res.StatusCode == http.StatusPreconditionFailed && refused.Code == "owner":
		owner, err := ownerIn(res.Header)
		if err != nil {
			return err
		}
		heir := valueIn(res.Header, "Session-Heir")
		if heir != "" && !engine.IsTag(heir) {
			return unexpected("Session-Heir", heir)
		}
		refused.means = &session.OwnerError{Owner: owner, Heir: heir}
	case res.StatusCode == http.StatusUnprocessableEntity && refused.Code == "stamp":
		latest, err := millisIn(res.Header, "Session-Latest")
		if err != nil {
			return err
		}
		newest := valueIn(res.Header, "Session-Newest")
		if _, ok := engine.ParseStamp(newest); !ok && newest != "" {
			return unexpected("Session-Newest", newest)
		}
		refused.means = &session.StampError{Latest: time.UnixMilli(latest), Newest: newest}
	}
	return refused
}

// retryAfter returns what a Retry-After says (RFC 9110, section 10.2.3): seconds,
// or a date. One that says neither is as none.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(time.Until(at), 0)
}
