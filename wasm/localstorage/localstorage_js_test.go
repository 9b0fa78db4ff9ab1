package localstorage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"syscall/js"
	"testing"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/wasm/localstorage"
	"github.com/session-interop/session-writer/writertest"
)

var areas = map[string]struct {
	property string
	open     func() (session.Storage, error)
}{
	"local":   {"localStorage", localstorage.Local},
	"session": {"sessionStorage", localstorage.Session},
}

// each runs f on both areas, empty before and after.
func each(t *testing.T, f func(t *testing.T, raw js.Value, storage session.Storage)) {
	for name, area := range areas {
		t.Run(name, func(t *testing.T) {
			raw := js.Global().Get(area.property)
			raw.Call("clear")
			t.Cleanup(func() { raw.Call("clear") })
			storage, err := area.open()
			if err != nil {
				t.Fatal(err)
			}
			f(t, raw, storage)
		})
	}
}

// frame returns the window of another document of this origin.
func frame(t *testing.T) js.Value {
	t.Helper()
	document := js.Global().Get("document")
	frame := document.Call("createElement", "iframe")
	document.Get("documentElement").Call("append", frame)
	t.Cleanup(func() { frame.Call("remove") })
	return frame.Get("contentWindow")
}

func TestStorage(t *testing.T) {
	each(t, func(t *testing.T, raw js.Value, storage session.Storage) {
		property := "localStorage"
		if raw.Equal(js.Global().Get("sessionStorage")) {
			property = "sessionStorage"
		}
		writertest.TestStorage(t, func(t *testing.T) writertest.StorageHarness {
			elsewhere := frame(t).Get(property)
			return writertest.StorageHarness{
				Storage:   storage,
				Elsewhere: func(key, text string) { elsewhere.Call("setItem", key, text) },
			}
		})
	})
}

func TestContract(t *testing.T) {
	each(t, func(t *testing.T, raw js.Value, storage session.Storage) {
		writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
			raw.Call("clear")
			open := func(ctx context.Context) (*session.Session, error) {
				return session.Open(ctx, storage, "cart", session.Config{})
			}
			return writertest.Harness{
				Open: func(ctx context.Context) (session.Writer, error) {
					s, err := open(ctx)
					if err == nil {
						t.Cleanup(func() { s.Close() })
					}
					return s, err
				},
				Load: func(ctx context.Context) (map[string]json.RawMessage, error) {
					s, err := open(ctx)
					if err != nil {
						return nil, err
					}
					defer s.Close()
					return s.Load(ctx)
				},
				See: func(ctx context.Context, w session.Writer) error {
					_, err := w.(*session.Session).Load(ctx)
					return err
				},
				Close:  func(w session.Writer) error { return w.(*session.Session).Close() },
				Active: func(w session.Writer) bool { return w.(*session.Session).Active() },
				Refuse: func() (restore func()) { return fill(raw) },
				Writes: countWrites(t),
			}
		})
	})
}

func TestURLs(t *testing.T) {
	each(t, func(t *testing.T, raw js.Value, storage session.Storage) {
		ctx := t.Context()
		url := "local:///cart?maxAge=1h"
		if raw.Equal(js.Global().Get("sessionStorage")) {
			url = "tab:///cart?maxAge=1h"
		}
		s, err := session.OpenURL(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Save(ctx, maps.All(map[string]any{"a": 1})); err != nil {
			t.Fatal(err)
		}
		there, err := session.Open(ctx, storage, "cart", session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer there.Close()
		if found, err := there.Get(ctx, "a", nil); !found || err != nil {
			t.Errorf("what %s saved: found %v, %v", url, found, err)
		}
	})
}

// fill takes all the room there is.
func fill(raw js.Value) (restore func()) {
	chunk := strings.Repeat("x", 1<<20)
	for n := 0; len(chunk) > 0; n++ {
		if !try(func() { raw.Call("setItem", fmt.Sprint("filling ", n), chunk) }) {
			chunk = chunk[:len(chunk)/2]
		}
	}
	return func() {
		keys := js.Global().Get("Object").Call("keys", raw)
		for i := range keys.Length() {
			if key := keys.Index(i).String(); strings.HasPrefix(key, "filling ") {
				raw.Call("removeItem", key)
			}
		}
	}
}

func try(f func()) (ok bool) {
	defer func() { ok = recover() == nil }()
	f()
	return
}

// countWrites counts the calls of setItem.
func countWrites(t *testing.T) func() int {
	writes := 0
	replaceSetItem(t, func(original, this js.Value, args []js.Value) any {
		writes++
		original.Call("apply", this, js.ValueOf([]any{args[0], args[1]}))
		return nil
	})
	return func() int { return writes }
}

// replaceSetItem puts a function in the place of Storage.prototype.setItem. A
// js.Error that it panics with is thrown.
func replaceSetItem(t *testing.T, f func(original, this js.Value, args []js.Value) any) {
	t.Helper()
	prototype := js.Global().Get("Storage").Get("prototype")
	original := prototype.Get("setItem")
	replaced := js.FuncOf(func(this js.Value, args []js.Value) (thrown any) {
		defer func() {
			if err, ok := recover().(js.Error); ok {
				thrown = err.Value
			}
		}()
		return f(original, this, args)
	})
	// A js.Func cannot throw, so what it returns is thrown for it.
	throwing := js.Global().Get("Function").New("f", `return function (...args) {
		const thrown = f.apply(this, args);
		if (thrown !== null && thrown !== undefined) throw thrown;
	}`).Invoke(replaced)
	prototype.Set("setItem", throwing)
	t.Cleanup(func() {
		prototype.Set("setItem", original)
		replaced.Release()
	})
}

func TestFullStorage(t *testing.T) {
	each(t, func(t *testing.T, raw js.Value, storage session.Storage) {
		s, err := session.Open(t.Context(), storage, "cart", session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Save(t.Context(), maps.All(map[string]any{"a": 1})); err != nil {
			t.Fatal(err)
		}
		restore := fill(raw)
		err = s.Save(t.Context(), maps.All(map[string]any{"a": 2, "b": 2}))
		if !errors.Is(err, session.ErrQuota) || !strings.Contains(err.Error(), "QuotaExceededError") {
			t.Errorf("Save returned %v", err)
		}
		if got, err := s.Load(t.Context()); err != nil || len(got) != 1 || string(got["a"]) != "1" {
			t.Errorf("Load returned %s, %v", got, err)
		}
		restore()
		if err := s.Save(t.Context(), maps.All(map[string]any{"a": 2})); err != nil {
			t.Error(err)
		}
	})
}

// The browser says what is wrong in the name of its exception.
func TestExceptions(t *testing.T) {
	domException := func(name string) js.Value {
		return js.Global().Get("DOMException").New("no", name)
	}
	firefox := js.Global().Get("Error").New("disk full")
	firefox.Set("name", "NS_ERROR_FILE_NO_DEVICE_SPACE")
	damaged := js.Global().Get("Error").New("damaged")
	damaged.Set("name", "NS_ERROR_FILE_CORRUPTED")
	for _, c := range []struct {
		thrown js.Value
		want   error
	}{
		{domException("QuotaExceededError"), session.ErrQuota},
		{domException("NS_ERROR_DOM_QUOTA_REACHED"), session.ErrQuota},
		{firefox, session.ErrQuota},
		{domException("SecurityError"), session.ErrDisabled},
		{domException("InvalidStateError"), session.ErrDisabled},
		{damaged, session.ErrDisabled},
	} {
		t.Run(c.thrown.Get("name").String(), func(t *testing.T) {
			storage, err := localstorage.Local()
			if err != nil {
				t.Fatal(err)
			}
			replaceSetItem(t, func(js.Value, js.Value, []js.Value) any { return c.thrown })
			err = storage.SetItem("a", "b")
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.thrown.Get("message").String()) {
				t.Errorf("SetItem returned %v, want one that wraps %q", err, c.want)
			}
		})
	}
}

func TestOtherPanicsPass(t *testing.T) {
	storage, err := localstorage.Local()
	if err != nil {
		t.Fatal(err)
	}
	replaceSetItem(t, func(js.Value, js.Value, []js.Value) any {
		return js.Global().Get("TypeError").New("a fault of somebody's")
	})
	defer func() {
		if thrown, ok := recover().(js.Error); !ok || thrown.Value.Get("name").String() != "TypeError" {
			t.Errorf("the panic became %v", thrown)
		}
	}()
	t.Errorf("SetItem returned %v", storage.SetItem("a", "b"))
}

func TestDisabledStorage(t *testing.T) {
	throws := js.Global().Get("Function").New(`throw new DOMException("forbidden", "SecurityError")`)
	odd := js.Global().Get("Function").New(`throw "blocked by an extension"`)
	missing := js.Global().Get("Function").New(`return undefined`)
	null := js.Global().Get("Function").New(`return null`)
	for name, getter := range map[string]js.Value{"throws": throws, "throws a string": odd, "is not there": missing, "is null": null} {
		for _, area := range areas {
			t.Run(area.property+" "+name, func(t *testing.T) {
				object := js.Global().Get("Object")
				before := object.Call("getOwnPropertyDescriptor", js.Global(), area.property)
				object.Call("defineProperty", js.Global(), area.property, map[string]any{"configurable": true, "get": getter})
				defer object.Call("defineProperty", js.Global(), area.property, before)
				if storage, err := area.open(); storage != nil || !errors.Is(err, session.ErrDisabled) {
					t.Errorf("returned %v, %v", storage, err)
				}
			})
		}
	}
}

// Two sessions in one document: no storage event tells one of the other.
func TestSessionsOfOnePageAreToldOfEachOther(t *testing.T) {
	each(t, func(t *testing.T, raw js.Value, storage session.Storage) {
		here, there := openTwo(t, storage)
		told := make(chan session.Change, 1)
		if _, err := here.Subscribe(func(c session.Change) { told <- c }); err != nil {
			t.Fatal(err)
		}
		if err := there.Save(t.Context(), maps.All(map[string]any{"a": 1})); err != nil {
			t.Fatal(err)
		}
		if c := <-told; string(c.Set["a"]) != "1" || !c.Remote {
			t.Errorf("told %+v", c)
		}
	})
}

func TestClearByAnotherPageIsTold(t *testing.T) {
	each(t, func(t *testing.T, raw js.Value, storage session.Storage) {
		here, _ := openTwo(t, storage)
		if err := here.Save(t.Context(), maps.All(map[string]any{"a": 1})); err != nil {
			t.Fatal(err)
		}
		told := make(chan session.Change, 1)
		if _, err := here.Subscribe(func(c session.Change) { told <- c }); err != nil {
			t.Fatal(err)
		}
		window := frame(t)
		for _, area := range areas {
			window.Get(area.property).Call("clear")
		}
		if c := <-told; !c.Cleared || len(c.Removed) != 1 || c.Removed[0] != "a" || !c.Remote {
			t.Errorf("told %+v", c)
		}
	})
}

func openTwo(t *testing.T, storage session.Storage) (a, b *session.Session) {
	t.Helper()
	var opened [2]*session.Session
	for i := range opened {
		s, err := session.Open(t.Context(), storage, "cart", session.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		opened[i] = s
	}
	return opened[0], opened[1]
}

// A page that comes back from the back/forward cache was told of nothing.
func TestPageThatComesBackIsTold(t *testing.T) {
	each(t, func(t *testing.T, raw js.Value, storage session.Storage) {
		told := make(chan string, 1)
		stop, err := storage.(session.Watcher).Watch(func(key string) { told <- key })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		show := func(persisted bool) {
			js.Global().Call("dispatchEvent", js.Global().Get("PageTransitionEvent").New("pageshow", map[string]any{"persisted": persisted}))
		}
		show(false)
		select {
		case key := <-told:
			t.Errorf("told of %q when the page was shown first", key)
		default:
		}
		show(true)
		if key := <-told; key != "" {
			t.Errorf("told of %q, want all", key)
		}
	})
}
