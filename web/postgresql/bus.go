//go:build !js

package postgresql

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// quiet is how long nothing may be heard until PostgreSQL is asked whether it is there.
	quiet = 30 * time.Second

	// patience is how long PostgreSQL may take to answer.
	patience = 10 * time.Second
)

// A Bus carries texts between the processes that use one database, by LISTEN and NOTIFY. It is
// a live.Bus. Processes whose connections have different schemas, the first of search_path
// that is there, do not hear each other. It is safe for concurrent use.
//
// It has two connections of its own, one for Listen and one for Send. A pooler in between must
// keep each for it alone: PgBouncer does so in its session mode. Where the URL names several
// servers, target_session_attrs=read-write finds the one that takes writes, as a standby takes
// neither LISTEN nor NOTIFY.
type Bus struct {
	config *pgx.ConnConfig
	// quiet and patience are what the constants say.
	quiet, patience time.Duration

	sending sync.Mutex
	sender  *connection // nil before Send, and after it has failed
}

// A connection knows its channel.
type connection struct {
	*pgx.Conn
	channel string
}

// NewBus returns the Bus of a database, whose URL is as for Open. It does not connect yet. No
// error of it or of its methods has the password.
func NewBus(address string) (*Bus, error) {
	config, err := parse(address)
	if err != nil {
		return nil, err
	}
	return &Bus{config: config, quiet: quiet, patience: patience}, nil
}

// connect opens a connection.
func (b *Bus) connect(ctx context.Context) (*connection, error) {
	conn, err := pgx.ConnectConfig(ctx, b.config.Copy()) // which has its own ConnectTimeout
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	c := &connection{Conn: conn}
	// A NOTIFY is in order at its commit, for which PostgreSQL has one lock: whoever else
	// sends waits until it is on the disk. It need not be: what it tells of was committed
	// before, and after a crash nobody listens. Among the parameters of the connection,
	// PgBouncer would refuse it.
	if _, err := c.Exec(ctx, `SET synchronous_commit = off`); err != nil {
		b.hangUp(c)
		return nil, err
	}
	err = c.QueryRow(ctx, `SELECT 'session_writer_' || oid FROM pg_namespace WHERE nspname = current_schema()`).Scan(&c.channel)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errors.New("there is none of the schemas that search_path names")
	}
	if err != nil {
		b.hangUp(c)
		return nil, err
	}
	return c, nil
}

// join has a connection hear what is sent.
func (b *Bus) join(ctx context.Context, c *connection) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	_, err := c.Exec(ctx, "LISTEN "+c.channel)
	return err
}

// hangUp closes a connection. If PostgreSQL is not there to hear of it, that takes a second.
func (b *Bus) hangUp(c *connection) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

// Send sends texts, of which each has less than 8,000 bytes and no U+0000, to all that listen,
// in one transaction: all of them or none, and equal ones once. It takes ten seconds at most.
// It fails if a process has not listened for so long that PostgreSQL has 8 GB for it
// (PostgreSQL's documentation of NOTIFY has these limits).
func (b *Bus) Send(ctx context.Context, texts []string) error {
	b.sending.Lock()
	defer b.sending.Unlock()
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	used := b.sender != nil
	err := b.send(ctx, texts)
	if err != nil && used {
		err = b.send(ctx, texts) // it may have lost its connection long before
	}
	if err != nil {
		return fmt.Errorf("tell others by PostgreSQL: %w", err)
	}
	return nil
}

func (b *Bus) send(ctx context.Context, texts []string) (err error) {
	if b.sender == nil {
		if b.sender, err = b.connect(ctx); err != nil {
			return err
		}
	}
	if _, err = b.sender.Exec(ctx, `SELECT pg_notify($1, text) FROM unnest(CAST($2 AS text[])) text`, b.sender.channel, texts); err != nil {
		b.hangUp(b.sender)
		b.sender = nil
	}
	return err
}

// Listen calls heard with each text that is sent, by this Bus, too, until ctx is done or the
// connection is lost, which it notices within 40 seconds. heard must return soon. It calls
// joined once it hears: what was sent before that is missed. The error is never nil.
func (b *Bus) Listen(ctx context.Context, joined func(), heard func(text string)) error {
	return fmt.Errorf("hear of others by PostgreSQL: %w", b.listen(ctx, joined, heard))
}

func (b *Bus) listen(ctx context.Context, joined func(), heard func(text string)) error {
	c, err := b.connect(ctx)
	if err != nil {
		return err
	}
	defer b.hangUp(c)
	if err := b.join(ctx, c); err != nil {
		return err
	}
	joined()
	for {
		n, err := b.next(ctx, c)
		if err != nil {
			return err
		}
		heard(n.Payload)
	}
}

// next waits for what is sent next.
func (b *Bus) next(ctx context.Context, c *connection) (*pgconn.Notification, error) {
	for {
		wait, cancel := context.WithTimeout(ctx, b.quiet)
		n, err := c.WaitForNotification(wait)
		cancel()
		if err == nil || ctx.Err() != nil || !pgconn.Timeout(err) {
			return n, err
		}
		err = b.join(ctx, c) // which changes nothing, and is what an administrator sees last
		if err != nil {
			return nil, fmt.Errorf("nothing was heard for %v: %w", b.quiet, err)
		}
	}
}

// Close closes the connection that Send has. Who listens goes on.
func (b *Bus) Close() {
	b.sending.Lock()
	defer b.sending.Unlock()
	if b.sender != nil {
		b.hangUp(b.sender)
		b.sender = nil
	}
}
