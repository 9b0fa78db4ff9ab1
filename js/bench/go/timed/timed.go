//go:build js

// Package timed lets a page time what a Go program does with a store: the
// loops, and the clock, are on the Go side, so that no call out of JavaScript
// is in the times.
package timed

import (
	"fmt"
	"iter"
	"strconv"
	"syscall/js"
	"time"
)

// A Store is a contender.
type Store interface {
	Save(entries iter.Seq2[string, any]) error
	Load() (map[string]Entry, error)
	Get(key string) (Entry, error)
}

// An Entry is the value of an entry. It has the same JSON as in ../../cases.js.
type Entry struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Saved int    `json:"saved"`
}

// unsaved is what Entry.Saved is before the first save that is timed.
const unsaved = -1

type batch []struct {
	key   string
	entry Entry
}

func newBatch(entries, saved int) batch {
	b := make(batch, entries)
	for i := range b {
		n := strconv.Itoa(i)
		b[i].key, b[i].entry = "key "+n, Entry{i, "entry " + n, saved}
	}
	return b
}

func (b batch) all() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, e := range b {
			if !yield(e.key, e.entry) {
				return
			}
		}
	}
}

// Serve gives the page a global, goStore, with the functions prepare and time
// that stopwatch.js describes. They return what went wrong as a string. Open
// is called for each session that is prepared.
func Serve(open func() (Store, error)) {
	var store Store
	prepare := func(args []js.Value) (any, error) {
		var err error
		if store, err = open(); err != nil {
			return nil, err
		}
		return nil, store.Save(newBatch(args[0].Int(), unsaved).all())
	}
	time := func(args []js.Value) (any, error) {
		operation, entries := args[0].String(), args[1].Int()
		calls, variants, enough := args[2].Int(), args[3].Int(), args[4].Float()
		return run(store, operation, entries, calls, variants, time.Duration(enough*1e6))
	}
	js.Global().Set("goStore", map[string]any{"prepare": function(prepare), "time": function(time)})
}

func function(f func(args []js.Value) (any, error)) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) any {
		result, err := f(args)
		if err != nil {
			return err.Error()
		}
		return result
	})
}

func run(store Store, operation string, entries, calls, variants int, enough time.Duration) (any, error) {
	batches := make([]batch, variants)
	for i := range batches {
		batches[i] = newBatch(entries, i)
	}
	var call func(i int) error
	switch operation {
	case "save":
		call = func(i int) error { return store.Save(batches[i%variants].all()) }
	case "load":
		call = func(int) error {
			loaded, err := store.Load()
			if err == nil && len(loaded) != entries {
				err = fmt.Errorf("loaded %d entries, not %d", len(loaded), entries)
			}
			return err
		}
	case "get":
		key, want := batches[0][0].key, batches[0][0].entry.Name
		call = func(int) error {
			entry, err := store.Get(key)
			if err == nil && entry.Name != want {
				err = fmt.Errorf("got %v", entry)
			}
			return err
		}
	}
	start, done := time.Now(), 0
	for {
		for range calls {
			if err := call(done); err != nil {
				return nil, err
			}
			done++
		}
		if took := time.Since(start); took >= enough {
			return map[string]any{
				"micros": float64(took) / 1e3 / float64(done),
				"last":   (done - 1) % variants,
			}, nil
		}
	}
}
