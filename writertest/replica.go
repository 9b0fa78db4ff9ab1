package writertest

import (
	"context"
	"encoding/json"
	"iter"
	"testing"

	"github.com/session-interop/session-writer"
)

// TestReplica tests that a [session.Replica] keeps what devices exchange with it,
// whole and in the order of the stamps. Each device has a session in memory and syncs
// it after every save. Together they must keep the nine rules of [session.Writer].
// TestReplica calls newReplica for every case. That returns a replica without a
// session.
func TestReplica(t *testing.T, newReplica func(t *testing.T) session.Replica) {
	t.Helper()
	TestWriter(t, func(t *testing.T) Harness {
		replica := newReplica(t)
		return Harness{
			Open: func(ctx context.Context) (session.Writer, error) { return openDevice(ctx, replica) },
			Load: func(ctx context.Context) (map[string]json.RawMessage, error) {
				d, err := openDevice(ctx, replica)
				if err != nil {
					return nil, err
				}
				if err := d.Sync(ctx, replica); err != nil {
					return nil, err
				}
				return d.Load(ctx)
			},
			See:    func(ctx context.Context, w session.Writer) error { return w.(*device).Sync(ctx, replica) },
			Close:  func(w session.Writer) error { return w.(*device).Close() },
			Active: func(w session.Writer) bool { return w.(*device).Active() },
		}
	})
}

// A device is a session that is synced after each save.
type device struct {
	*session.Session
	replica session.Replica
}

func openDevice(ctx context.Context, replica session.Replica) (*device, error) {
	s, err := session.Open(ctx, session.NewMemory(), "cart", session.Config{})
	return &device{s, replica}, err
}

func (d *device) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	if err := d.Session.Save(ctx, entries); err != nil {
		return err
	}
	return d.Sync(ctx, d.replica)
}
