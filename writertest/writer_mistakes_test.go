package writertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

func TestWriterMistakes(t *testing.T) {
	var mistakes []mistake[writertest.Harness]
	for _, m := range writerMistakes {
		mistakes = append(mistakes, mistake[writertest.Harness]{m.rule, m.what, func(t *testing.T, _ func()) writertest.Harness {
			return brokenHarness(t, m.save)
		}})
	}
	testMistakes(t, writertest.WriterCases, mistakes)
}

// broken is a MyWriter with another Save, and what that needs.
type broken struct {
	*MyWriter
	save   saveFunc
	id     int
	shared *shared

	mu    sync.Mutex
	kept  map[string]json.RawMessage
	given map[string]any
	first context.Context
}

// shared is what the broken Writers of one session keep beside it.
type shared struct {
	mu    sync.Mutex
	ids   int
	clock int
	stamp map[string]int
	areas map[int]map[string]json.RawMessage // by Writer
	merge mergeFunc
}

type (
	saveFunc func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error
	// A mergeFunc is a Load of the areas.
	mergeFunc func(areas map[int]map[string]json.RawMessage) map[string]json.RawMessage
)

func (w *broken) Save(ctx context.Context, entries iter.Seq2[string, any]) error {
	return w.save(w, ctx, entries)
}

// brokenHarness is newHarness with another Save, which may bring a Load of its
// own.
func brokenHarness(t *testing.T, save saveFunc) writertest.Harness {
	h := newHarness(t)
	s := &shared{stamp: make(map[string]int), areas: make(map[int]map[string]json.RawMessage)}
	right := h
	h.Open = func(ctx context.Context) (session.Writer, error) {
		w, err := right.Open(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ids++
		return &broken{MyWriter: w.(*MyWriter), save: save, id: s.ids, shared: s, kept: make(map[string]json.RawMessage)}, err
	}
	h.Load = func(ctx context.Context) (map[string]json.RawMessage, error) {
		pauseBeforeReading()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.merge != nil {
			return s.merge(s.areas), nil
		}
		return right.Load(ctx)
	}
	h.Close = func(w session.Writer) error { return right.Close(w.(*broken).MyWriter) }
	h.Active = func(w session.Writer) bool { return right.Active(w.(*broken).MyWriter) }
	return h
}

// each is a Save that lets f change the entries or leave them out.
func each(f func(key string, value any) (string, any, bool)) saveFunc {
	return func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		if entries == nil {
			return w.MyWriter.Save(ctx, nil)
		}
		return w.MyWriter.Save(ctx, func(yield func(string, any) bool) {
			for key, value := range entries {
				if key, value, ok := f(key, value); ok && !yield(key, value) {
					return
				}
			}
		})
	}
}

func value(f func(value any) any) saveFunc {
	return each(func(key string, value any) (string, any, bool) { return key, f(value), true })
}

// commit is a Save that does its checks as it should, and then calls f with a
// batch that is not empty.
func commit(f func(w *broken, batch map[string]json.RawMessage) error) saveFunc {
	return func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		batch, err := encode(entries)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || len(batch) == 0 {
			return err
		}
		return f(w, batch)
	}
}

// failing is a Save whose errors f replaces.
func failing(f func(w *broken, err error) error) saveFunc {
	return func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		if err := w.MyWriter.Save(ctx, entries); err != nil {
			return f(w, err)
		}
		return nil
	}
}

// overwrite replaces the whole session.
func (s *MySession) overwrite(all map[string]json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.full {
		return errFull
	}
	s.entries = all
	return nil
}

// readModifyWrite loses what others save between its two steps.
var readModifyWrite = commit(func(w *broken, batch map[string]json.RawMessage) error {
	all := w.session.load()
	pause()
	maps.Copy(all, batch)
	return w.session.overwrite(all)
})

// ownAreas lets each Writer have an area of its own, which Load merges.
func ownAreas(merge mergeFunc) saveFunc {
	return commit(func(w *broken, batch map[string]json.RawMessage) error {
		w.shared.mu.Lock()
		defer w.shared.mu.Unlock()
		if w.shared.areas[w.id] == nil {
			w.shared.areas[w.id] = make(map[string]json.RawMessage)
		}
		maps.Copy(w.shared.areas[w.id], batch)
		w.shared.merge = merge
		return nil
	})
}

var writerMistakes = []struct {
	rule, what string
	save       saveFunc
}{
	{"1-merge", "replaces the session", commit(func(w *broken, batch map[string]json.RawMessage) error {
		return w.session.overwrite(batch)
	})},
	{"1-merge", "adds keys and replaces none", commit(func(w *broken, batch map[string]json.RawMessage) error {
		maps.Copy(batch, w.session.load())
		return w.session.overwrite(batch)
	})},
	{"1-merge", "writes back its own copy of the session", commit(func(w *broken, batch map[string]json.RawMessage) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		maps.Copy(w.kept, batch)
		return w.session.overwrite(maps.Clone(w.kept))
	})},
	{"1-merge", "reads, modifies and writes without a lock", readModifyWrite},
	{"1-merge", "has room for a hundred keys", commit(func(w *broken, batch map[string]json.RawMessage) error {
		all := w.session.load()
		for key, text := range batch {
			if len(all) < 100 {
				all[key] = text
			}
		}
		return w.session.write(all)
	})},

	{"2-whole", "saves entries as they come", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		for key, value := range entries {
			if err := w.MyWriter.Save(ctx, maps.All(map[string]any{key: value})); err != nil {
				return err
			}
		}
		return nil
	}},
	{"2-whole", "checks all entries and then saves them one by one", commit(func(w *broken, batch map[string]json.RawMessage) error {
		for key, text := range batch {
			if err := w.session.write(map[string]json.RawMessage{key: text}); err != nil {
				return err
			}
			pause()
		}
		return nil
	})},
	{"2-whole", "leaves out what cannot be saved", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		var errs []error
		err := w.MyWriter.Save(ctx, func(yield func(string, any) bool) {
			for key, value := range entries {
				if _, err := encode(maps.All(map[string]any{key: value})); err != nil {
					errs = append(errs, err)
				} else if !yield(key, value) {
					return
				}
			}
		})
		return errors.Join(append(errs, err)...)
	}},
	{"2-whole", "saves in a deferred call", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		batch := make(map[string]any)
		defer func() { w.MyWriter.Save(ctx, maps.All(batch)) }()
		maps.Insert(batch, entries)
		return nil
	}},
	{"2-whole", "keeps a refused batch for the next Save", commit(func(w *broken, batch map[string]json.RawMessage) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		maps.Copy(w.kept, batch)
		return w.session.write(w.kept)
	})},

	{"3-ensured", "writes later", commit(func(w *broken, batch map[string]json.RawMessage) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		pending := w.kept
		w.kept = batch
		return w.session.write(pending)
	})},
	{"3-ensured", "hides the storage's error", failing(func(w *broken, err error) error {
		if errors.Is(err, errFull) {
			return nil
		}
		return err
	})},
	{"3-ensured", "turns numbers into float64", commit(func(w *broken, batch map[string]json.RawMessage) error {
		for key, text := range batch {
			var v any
			if err := json.Unmarshal(text, &v); err != nil {
				return err
			}
			batch[key], _ = json.Marshal(v)
		}
		return w.session.write(batch)
	})},
	{"3-ensured", "strips U+FEFF and U+2028", value(func(v any) any {
		if s, ok := v.(string); ok {
			return strings.NewReplacer("\ufeff", "", "\u2028", "").Replace(s)
		}
		return v
	})},
	{"3-ensured", "saves empty arrays and objects as null", commit(func(w *broken, batch map[string]json.RawMessage) error {
		for key, text := range batch {
			if s := string(text); s == "[]" || s == "{}" {
				batch[key] = json.RawMessage("null")
			}
		}
		return w.session.write(batch)
	})},
	{"3-ensured", "formats a Marshaler instead of asking it", value(func(v any) any {
		if m, ok := v.(json.Marshaler); ok {
			return fmt.Sprint(m)
		}
		return v
	})},

	{"4-state-kept", "opens a closed session", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		w.closed.Store(false)
		return w.MyWriter.Save(ctx, entries)
	}},
	{"4-state-kept", "closes the session, as session_write_close does, and refuses the next Save", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		if w.closed.Swap(true) {
			return errors.New("the session is closed")
		}
		return w.MyWriter.Save(ctx, entries)
	}},
	{"4-state-kept", "closes the session after each Save and opens it for the next", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		defer w.closed.Store(true)
		return w.MyWriter.Save(ctx, entries)
	}},
	{"4-state-kept", "drops what is saved when closed", commit(func(w *broken, batch map[string]json.RawMessage) error {
		if w.closed.Load() {
			return nil
		}
		return w.session.write(batch)
	})},
	{"4-state-kept", "closes the session on an error", failing(func(w *broken, err error) error {
		w.closed.Store(true)
		return err
	})},

	{"5-immutable", "sorts the caller's slices", value(func(v any) any {
		if s, ok := v.([]any); ok {
			slices.SortFunc(s, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		return v
	})},
	{"5-immutable", "keeps the values and encodes all of them again", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		if _, err := encode(entries); err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.given == nil {
			w.given = make(map[string]any)
		}
		maps.Insert(w.given, entries)
		return w.MyWriter.Save(ctx, maps.All(w.given))
	}},
	{"5-immutable", "iterates once to check and once to save", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		if _, err := encode(entries); err != nil {
			return err
		}
		return w.MyWriter.Save(ctx, entries)
	}},
	{"5-immutable", "keeps its first context", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.first == nil {
			w.first = ctx
		}
		return w.MyWriter.Save(w.first, entries)
	}},
	{"5-immutable", "is not made for concurrent use", readModifyWrite},

	{"6-last-wins", "lets the first of equal keys win", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		seen := make(map[string]bool)
		return each(func(key string, value any) (string, any, bool) {
			old := seen[key]
			seen[key] = true
			return key, value, !old
		})(w, ctx, entries)
	}},
	{"6-last-wins", "orders saves by a clock that is too coarse", commit(func(w *broken, batch map[string]json.RawMessage) error {
		w.shared.mu.Lock()
		defer w.shared.mu.Unlock()
		w.shared.clock++
		now := 1 + w.shared.clock/10
		for key := range batch {
			if w.shared.stamp[key] == now {
				delete(batch, key)
			}
			w.shared.stamp[key] = now
		}
		return w.session.write(batch)
	})},
	{"6-last-wins", "lets the Writer with the highest id win", ownAreas(func(areas map[int]map[string]json.RawMessage) map[string]json.RawMessage {
		merged := make(map[string]json.RawMessage)
		for _, id := range slices.Sorted(maps.Keys(areas)) {
			maps.Copy(merged, areas[id])
		}
		return merged
	})},
	{"6-last-wins", "leaves the winner to the order of a map", ownAreas(func(areas map[int]map[string]json.RawMessage) map[string]json.RawMessage {
		merged := make(map[string]json.RawMessage)
		for _, area := range areas {
			maps.Copy(merged, area)
		}
		return merged
	})},

	{"7-empty-is-nothing", "returns an error for an empty batch", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		if batch, err := encode(entries); err == nil && len(batch) == 0 {
			return errors.New("nothing to save")
		}
		return w.MyWriter.Save(ctx, entries)
	}},
	{"7-empty-is-nothing", "clears the session for an empty batch", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		if batch, err := encode(entries); err == nil && len(batch) == 0 {
			return w.session.overwrite(batch)
		}
		return w.MyWriter.Save(ctx, entries)
	}},
	{"7-empty-is-nothing", "writes an empty batch", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		batch, err := encode(entries)
		if err != nil {
			return err
		}
		return w.session.write(batch)
	}},

	{"8-keys-and-values", "trims keys", each(func(key string, value any) (string, any, bool) {
		return strings.TrimSpace(key), value, true
	})},
	{"8-keys-and-values", "strips a leading U+FEFF of a key", each(func(key string, value any) (string, any, bool) {
		return strings.TrimPrefix(key, "\ufeff"), value, true
	})},
	{"8-keys-and-values", "loses __proto__", each(func(key string, value any) (string, any, bool) {
		return key, value, key != "__proto__"
	})},
	{"8-keys-and-values", "cuts keys to 255 bytes", each(func(key string, value any) (string, any, bool) {
		return key[:min(len(key), 255)], value, true
	})},
	{"8-keys-and-values", "mends invalid UTF-8", each(func(key string, value any) (string, any, bool) {
		return strings.ToValidUTF8(key, "\ufffd"), value, true
	})},
	{"8-keys-and-values", "takes the empty key", each(func(key string, value any) (string, any, bool) {
		if key == "" {
			key = "empty"
		}
		return key, value, true
	})},
	{"8-keys-and-values", "leaves out nil", each(func(key string, value any) (string, any, bool) {
		return key, value, value != nil
	})},
	{"8-keys-and-values", "saves NaN as null, as JSON.stringify does", value(func(v any) any {
		if f, ok := v.(float64); ok && math.IsNaN(f) {
			return nil
		}
		return v
	})},
	{"8-keys-and-values", "does not name the key", failing(func(w *broken, err error) error {
		if entry, ok := errors.AsType[*session.EntryError](err); ok {
			return entry.Err
		}
		return err
	})},
	{"8-keys-and-values", "names another key", failing(func(w *broken, err error) error {
		if entry, ok := errors.AsType[*session.EntryError](err); ok {
			return &session.EntryError{Key: entry.Key + "?", Err: entry.Err}
		}
		return err
	})},
	{"8-keys-and-values", "does not say what is wrong", failing(func(w *broken, err error) error {
		if entry, ok := errors.AsType[*session.EntryError](err); ok {
			return &session.EntryError{Key: entry.Key, Err: errors.New("bad entry")}
		}
		return err
	})},
	{"8-keys-and-values", "panics with a Marshaler", value(func(v any) any {
		if m, ok := v.(json.Marshaler); ok {
			m.MarshalJSON()
		}
		return v
	})},
	{"8-keys-and-values", "panics without an iterator", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		return w.MyWriter.Save(ctx, maps.All(maps.Collect(entries)))
	}},
	{"8-keys-and-values", "takes no iterator for an empty batch", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		if entries == nil {
			return nil
		}
		return w.MyWriter.Save(ctx, entries)
	}},
	{"8-keys-and-values", "writes first and takes it back on an error", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		if err := w.session.write(nil); err != nil {
			return err
		}
		return w.MyWriter.Save(ctx, entries)
	}},

	{"9-cancelled", "ignores the context", func(w *broken, _ context.Context, entries iter.Seq2[string, any]) error {
		return w.MyWriter.Save(context.Background(), entries)
	}},
	{"9-cancelled", "asks the context only at the start", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return w.MyWriter.Save(context.Background(), entries)
	}},
	{"9-cancelled", "asks the context only before each entry", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		batch := make(map[string]any)
		for key, value := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			batch[key] = value
		}
		return w.MyWriter.Save(context.Background(), maps.All(batch))
	}},
	{"9-cancelled", "saves and then returns the context's error", func(w *broken, ctx context.Context, entries iter.Seq2[string, any]) error {
		return errors.Join(w.MyWriter.Save(context.Background(), entries), ctx.Err())
	}},
	{"9-cancelled", "has an error of its own for it", failing(func(w *broken, err error) error {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return errors.New("stopped")
		}
		return err
	})},
}
