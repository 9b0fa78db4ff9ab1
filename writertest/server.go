package writertest

import (
	"context"
	"encoding/json"
	"iter"
	"testing"

	"github.com/session-interop/session-writer"
)

// TestServer tests that what devices exchange with a [session.Server] is kept,
// whole and in the order of its stamps: sessions in memory, each of which is
// exchanged after every save, must keep the nine rules of [session.Writer]
// together. It calls newServer, for a session that the server does not have
// yet, for every case.
func TestServer(t *testing.T, newServer func(t *testing.T) session.Server) {
	t.Helper()
	TestWriter(t, func(t *testing.T) Harness {
		server := newServer(t)
		return Harness{
			Open: func(ctx context.Context) (session.Writer, error) { return openDevice(ctx, server) },
			Load: func(ctx context.Context) (map[string]json.RawMessage, error) {
				d, err := openDevice(ctx, server)
				if err != nil {
					return nil, err
				}
				if err := d.Exchange(ctx, server); err != nil {
					return nil, err
				}
				return d.Load(ctx)
			},
			See:    func(ctx context.Context, w session.Writer) error { return w.(*device).Exchange(ctx, server) },
			Close:  func(w session.Writer) error { return w.(*device).Close() },
			Active: func(w session.Writer) bool { return w.(*device).Active() },
		}
	})
}

// A device is a session that is exchanged after each save.
type device struct {
	*session.Session
	server session.Server
}

func openDevice(ctx context.Context, server session.Server) (*device, error) {
	s, err := session.Open(ctx, session.NewMemory(), "cart")
	return &device{s, server}, err
}

func (d *device) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	if err := d.Session.Save(ctx, entries); err != nil {
		return err
	}
	return d.Exchange(ctx, d.server)
}
