package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

func openDevice(ctx context.Context, config session.Config) (*session.Session, error) {
	return session.Open(ctx, session.NewMemory(), "cart", config)
}

// loadElsewhere returns what a device finds that comes only now.
func loadElsewhere(ctx context.Context, server session.Replica) (map[string]json.RawMessage, error) {
	device, err := openDevice(ctx, session.Config{})
	if err != nil {
		return nil, err
	}
	if err := device.Sync(ctx, server); err != nil {
		return nil, err
	}
	return device.Load(ctx)
}

func TestReplica(t *testing.T) {
	writertest.TestReplica(t, func(t *testing.T) session.Replica {
		return create(t, open(t, file(t)), Limits{}).Replica(owner, "cart")
	})
}

func TestReplication(t *testing.T) {
	ctx := t.Context()
	server := create(t, open(t, file(t)), Limits{}).Replica(owner, "cart")
	var devices []*session.Session
	for range 2 {
		device, err := openDevice(ctx, session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		devices = append(devices, device)
	}
	one, two := devices[0], devices[1]
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	meet := func(want string) {
		t.Helper()
		for _, device := range []*session.Session{one, two, one} {
			must(device.Sync(ctx, server))
		}
		for i, device := range devices {
			got, err := device.Load(ctx)
			must(err)
			if text, _ := json.Marshal(got); string(text) != want {
				t.Errorf("device %d has %s, want %s", i, text, want)
			}
		}
		elsewhere, err := loadElsewhere(ctx, server)
		must(err)
		if text, _ := json.Marshal(elsewhere); string(text) != want {
			t.Errorf("a new device has %s, want %s", text, want)
		}
	}
	save := func(r *session.Session, entries map[string]any) { t.Helper(); must(r.Save(ctx, maps.All(entries))) }

	save(one, map[string]any{"a": 1, "b": 1})
	save(two, map[string]any{"c": 2})
	meet(`{"a":1,"b":1,"c":2}`)
	must(two.Remove(ctx, "a"))
	save(one, map[string]any{"b": 3})
	meet(`{"b":3,"c":2}`)
	must(one.Clear(ctx))
	meet(`{}`)
	save(two, map[string]any{"d": 4})
	meet(`{"d":4}`)
	must(two.Clear(ctx))
	save(two, map[string]any{"e": 5})
	meet(`{"e":5}`)
}

func TestWhatExpiredStaysSo(t *testing.T) {
	ctx := t.Context()
	server := create(t, open(t, file(t)), Limits{}).Replica(owner, "cart")
	old := "[" + item(time.Now().Add(-2*time.Hour).UnixMilli(), `"set":{"a":1}`) + "]"
	if _, err := server(ctx, session.Sent{Owner: Tag(owner), Items: old}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		maxAge time.Duration
		want   int
	}{{3 * time.Hour, 1}, {time.Hour, 0}, {3 * time.Hour, 1}} { // each by its own
		device, err := openDevice(ctx, session.Config{MaxAge: test.maxAge})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := device.Sync(ctx, server); err != nil {
				t.Fatal(err)
			}
			got, err := device.Load(ctx)
			if err != nil || len(got) != test.want {
				t.Errorf("with MaxAge %v: %v, %v, want %d entries", test.maxAge, got, err, test.want)
			}
		}
	}
}

// A Writer on the server and a device find what the other saved.
func TestSessionAndDeviceShareWhatIsSaved(t *testing.T) {
	ctx := t.Context()
	d := create(t, open(t, file(t)), Limits{})
	w, err := d.Open(ctx, owner, "cart")
	if err != nil {
		t.Fatal(err)
	}
	server := d.Replica(owner, "cart")
	device, err := openDevice(ctx, session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	check := func(want map[string]json.RawMessage) {
		t.Helper()
		if err := device.Sync(ctx, server); err != nil {
			t.Fatal(err)
		}
		here, err := w.Load(ctx)
		if err != nil || !reflect.DeepEqual(here, want) {
			t.Errorf("the Session has %s, %v, want %s", here, err, want)
		}
		there, err := device.Load(ctx)
		if err != nil || !reflect.DeepEqual(there, want) {
			t.Errorf("the device has %s, %v, want %s", there, err, want)
		}
	}
	steps := []error{
		w.Save(ctx, maps.All(map[string]any{"a": 1, "b": 2})),
		device.Sync(ctx, server),
		device.Save(ctx, maps.All(map[string]any{"a": 3, "c": "x"})),
		device.Sync(ctx, server),
		w.Remove(ctx, "b", "not there"),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	check(map[string]json.RawMessage{"a": json.RawMessage(`3`), "c": json.RawMessage(`"x"`)})

	var got string
	if found, err := w.Get(ctx, "c", &got); !found || err != nil || got != "x" {
		t.Errorf("Get gives %q, %t, %v", got, found, err)
	}
	if found, err := w.Get(ctx, "b", nil); found || err != nil {
		t.Errorf("Get of what was removed gives %t, %v", found, err)
	}
	var number int
	var entry *session.EntryError
	if _, err := w.Get(ctx, "c", &number); !errors.As(err, &entry) || entry.Key != "c" {
		t.Errorf("Get of a string as a number: %v, want an EntryError", err)
	}
	if err := w.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	check(map[string]json.RawMessage{})
	if err := w.Remove(ctx, ""); !errors.Is(err, session.ErrKey) {
		t.Errorf("Remove of the empty key: %v, want ErrKey", err)
	}
}
