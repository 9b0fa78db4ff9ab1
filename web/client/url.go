package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/session-interop/session-writer"
)

func init() {
	session.RegisterOpener("https", openerOf)
	session.RegisterOpener("http", openerOf)
}

// openerOf reads URLs like https://example.com/sessions/?session=cart.
func openerOf(u *session.URL) func(context.Context) (session.Opened, error) {
	name, config := u.NameInQuery(), session.Config{MaxAge: u.MaxAge()}
	host := u.Hostname()
	switch {
	case host == "":
		u.Refuse("it has no host: it must be like " + u.Scheme + "://example.com/sessions/?session=cart")
	case u.Scheme == "http" && !strings.EqualFold(host, "localhost") && !net.ParseIP(host).IsLoopback():
		u.Refuse("it is not https: whoever is on the way could read and change the session. http is for this machine only, such as http://localhost:8080/sessions/?session=cart")
	}
	cookies, given := u.Parameter("cookies")
	if given {
		if cookies == "" {
			u.Refuse(`parameter "cookies": it must be the path of a file, like cookies=/var/lib/app/cookies`)
		} else if absolute, err := filepath.Abs(cookies); err == nil {
			cookies = absolute
		}
	}
	at := *u.URL
	at.RawQuery = ""
	return func(ctx context.Context) (session.Opened, error) {
		server, err := servers.find(&at, cookies)
		if err != nil {
			return nil, err
		}
		r := &remote{
			name: name, config: config, replica: server.replicas(name), jar: server.jar,
			calling: make(chan struct{}, 1), known: session.NewMemory(),
		}
		if _, err := r.exchange(ctx, nil); err != nil {
			return nil, err
		}
		return r, nil
	}
}

// timeout is how long a request may take, as in session-server.
const timeout = time.Minute

// A server has what the sessions of one server share: the cookies, and what New returns.
type server struct {
	jar      *jar
	replicas func(name string) session.Replica
}

// servers are those that URLs have named.
var servers = registry{of: make(map[visitor]server)}

// A visitor is a server's address, which may have a password, and where its cookies are.
type visitor struct{ address, cookies string }

type registry struct {
	mu sync.Mutex
	of map[visitor]server
}

func (r *registry) find(at *url.URL, cookies string) (server, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	as := visitor{at.String(), cookies}
	if had, there := r.of[as]; there {
		return had, nil
	}
	jar, err := newJar(at, cookies)
	if err != nil {
		return server{}, err
	}
	r.of[as] = server{jar, New(&http.Client{Jar: jar, Timeout: timeout}, as.address)}
	return r.of[as], nil
}

// A remote is a session that a server has. Each call makes an exchange: a read before it
// reads, and a write with a copy of what is known, which takes the place of that only if
// the server has merged the write. So nothing of a Save that failed is left to be sent by
// the next call.
type remote struct {
	name    string
	config  session.Config
	replica session.Replica
	jar     *jar
	// calling is held by the one call that may use what is below.
	calling chan struct{}
	known   session.Storage
	owner   string // whom the server takes us for, or empty if it was not said yet
	other   *session.OwnerError
}

// errOther stands for the remote's other, which Sync would take for an answer.
var errOther = errors.New("another owner")

// exchange makes a change and exchanges it, or only exchanges without one. It returns the
// session as it is then.
func (r *remote) exchange(ctx context.Context, change func(*session.Session) error) (*session.Session, error) {
	select {
	case r.calling <- struct{}{}:
		defer func() { <-r.calling }()
	case <-ctx.Done():
		return nil, fmt.Errorf("session %q: %w", r.name, ctx.Err())
	}
	draft := session.NewMemory()
	if err := copyItems(draft, r.known); err != nil {
		return nil, err
	}
	s, err := session.Open(ctx, draft, r.name, r.config)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() // closed, it can be read
	if change != nil {
		if err := change(s); err != nil {
			return nil, err
		}
	}
	if err := s.Sync(ctx, r.ask); errors.Is(err, errOther) {
		return nil, fmt.Errorf("session %q: sync: %w", r.name, r.other)
	} else if err != nil {
		return nil, err
	}
	r.known = draft
	return s, nil
}

func copyItems(to, from session.Storage) error {
	keys, err := from.Keys("")
	if err != nil {
		return err
	}
	for _, key := range keys {
		text, there, err := from.GetItem(key)
		if err == nil && there {
			err = to.SetItem(key, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ask makes one request. A Sync that finds another owner shows his entries, and keeps what
// was to be sent for the former one: a Save would then return nil, and have saved nothing
// that a Load finds.
func (r *remote) ask(ctx context.Context, sent session.Sent) (session.Received, error) {
	got, err := r.replica(ctx, sent)
	// Without an owner, nothing is merged: the server only tells who we are. Later it renews
	// the cookie, which can be kept next time as well.
	if failed := r.jar.keep(); err == nil && sent.Owner == "" {
		err = failed
	}
	owner := got.Owner
	if refused, is := errors.AsType[*session.OwnerError](err); is {
		owner = refused.Owner
	} else if err != nil {
		return got, err
	}
	if r.owner != "" && owner != r.owner {
		r.other = &session.OwnerError{Owner: owner}
		return session.Received{}, errOther
	}
	r.owner = owner
	return got, err
}

// Save implements session.Writer. When it returns nil, the server has merged the entries.
func (r *remote) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	empty := true
	counted := entries
	if entries != nil {
		counted = func(yield func(string, any) bool) {
			for key, value := range entries {
				empty = false
				if !yield(key, value) {
					return
				}
			}
		}
	}
	return r.write(ctx, func(s *session.Session) error {
		err := s.Save(ctx, counted)
		if err == nil && empty {
			err = errNothing
		}
		return err
	})
}

// errNothing means that there is nothing to be exchanged.
var errNothing = errors.New("nothing to be written")

func (r *remote) write(ctx context.Context, change func(*session.Session) error) error {
	_, err := r.exchange(ctx, change)
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

func (r *remote) Remove(ctx context.Context, keys ...string) error {
	return r.write(ctx, func(s *session.Session) error {
		err := s.Remove(ctx, keys...)
		if err == nil && len(keys) == 0 {
			err = errNothing
		}
		return err
	})
}

func (r *remote) Clear(ctx context.Context) error {
	return r.write(ctx, func(s *session.Session) error { return s.Clear(ctx) })
}

func (r *remote) Load(ctx context.Context) (map[string]json.RawMessage, error) {
	s, err := r.exchange(ctx, nil)
	if err != nil {
		return nil, err
	}
	return s.Load(ctx)
}

func (r *remote) Get(ctx context.Context, key string, into any) (found bool, err error) {
	s, err := r.exchange(ctx, nil)
	if err != nil {
		return false, err
	}
	return s.Get(ctx, key, into)
}

// Close does nothing: what was saved is at the server, and nothing is held between calls.
func (r *remote) Close() error { return nil }
