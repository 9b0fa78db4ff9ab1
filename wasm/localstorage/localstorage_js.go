// Package localstorage is the browser's Web Storage, localStorage and
// sessionStorage, as a session.Storage for Go programs compiled for GOOS=js.
//
//	storage, err := localstorage.Local()
//	...
//	s, err := session.Open(ctx, storage, "cart")
//
// What is saved in localStorage survives closing the tab and the browser. A
// browser that is killed loses what it has not written to disk yet, which in
// Chromium may be the last 40 seconds and more; what is left is whole batches.
// sessionStorage lasts as long as the tab and is shared with nobody but its
// frames of the same origin.
//
// A few caveats:
//   - Both are full at 5,242,880 UTF-16 code units of keys and texts for an
//     origin, in Chromium and Firefox: session.ErrQuota.
//   - They are not there, session.ErrDisabled, in workers, in frames that are
//     sandboxed, and where the user has forbidden them.
//   - They keep lone surrogates, which Go strings cannot hold: what others
//     stored with such is read with U+FFFD in their place.
package localstorage

import (
	"strings"
	"syscall/js"

	"github.com/session-interop/session-writer/wasm/engine"
)

// Local returns window.localStorage, which is a session.Watcher, too. The
// error wraps session.ErrDisabled.
func Local() (engine.Storage, error) { return local.open() }

// Session returns window.sessionStorage, as Local does.
func Session() (engine.Storage, error) { return session.open() }

// One of each, as sessions in one document must be told of each other's saves:
// the storage event goes to other documents only (HTML, "12.2.4 The Storage
// event").
var (
	local   = &area{property: "localStorage"}
	session = &area{property: "sessionStorage"}
)

// An area is a storage area. Its methods are those of the Storage interface.
type area struct {
	property string
	storage  js.Value
	watchers engine.Watchers
}

func (a *area) open() (engine.Storage, error) {
	// Reading the property may throw a SecurityError, which Value.Get would
	// let through the middle of Go's stack, and Value.Call does not.
	storage, err := read(js.Global(), a.property)
	if err != nil {
		return nil, err
	}
	if storage.IsUndefined() || storage.IsNull() {
		return nil, &storageError{engine.ErrDisabled, "there is no " + a.property + " here"}
	}
	a.storage = storage
	return a, nil
}

// read reads a property. Whatever that throws means that it is not to be had.
func read(object js.Value, property string) (value js.Value, err error) {
	defer func() {
		p := recover()
		if thrown, ok := p.(js.Error); ok {
			err = &storageError{engine.ErrDisabled, js.Global().Get("String").Invoke(thrown.Value).String()}
		} else if p != nil {
			panic(p)
		}
	}()
	return js.Global().Get("Reflect").Call("get", object, property), nil
}

func (a *area) GetItem(key string) (text string, ok bool, err error) {
	defer catch(&err)
	item := a.storage.Call("getItem", value(key))
	if item.IsNull() {
		return "", false, nil
	}
	return item.String(), true, nil
}

func (a *area) SetItem(key, text string) (err error) {
	defer catch(&err)
	a.storage.Call("setItem", value(key), value(text))
	a.watchers.Tell(key)
	return nil
}

func (a *area) RemoveItem(key string) (err error) {
	defer catch(&err)
	a.storage.Call("removeItem", value(key))
	a.watchers.Tell(key)
	return nil
}

func (a *area) Keys(prefix string) (keys []string, err error) {
	defer catch(&err)
	// Not Object.keys, which leaves out items called length or getItem.
	for i := range a.storage.Get("length").Int() {
		// A page that is about to go may give null for the rest.
		if key := a.storage.Call("key", i); !key.IsNull() && strings.HasPrefix(key.String(), prefix) {
			keys = append(keys, key.String())
		}
	}
	return keys, nil
}

// Watch implements session.Watcher: on the storage event, when a page comes
// back from the back/forward cache, where events do not reach it, and when
// this program changes an item.
func (a *area) Watch(changed func(key string)) (stop func(), err error) {
	defer catch(&err)
	stopStorage := listen("storage", func(event js.Value) {
		if !event.Get("storageArea").Equal(a.storage) {
			return
		}
		if key := event.Get("key"); key.IsNull() {
			changed("") // Storage.clear
		} else {
			changed(key.String())
		}
	})
	stopPageShow := listen("pageshow", func(event js.Value) {
		if event.Get("persisted").Bool() {
			changed("")
		}
	})
	stopOwn := a.watchers.Add(changed)
	return func() {
		stopStorage()
		stopPageShow()
		stopOwn()
	}, nil
}

// listen adds a listener to the window. The returned function removes it and
// releases its js.Func.
func listen(event string, handle func(event js.Value)) (stop func()) {
	f := js.FuncOf(func(_ js.Value, args []js.Value) any {
		handle(args[0])
		return nil
	})
	js.Global().Call("addEventListener", event, f)
	return func() {
		js.Global().Call("removeEventListener", event, f)
		f.Release()
	}
}

// value returns text as a JavaScript string. The compiler's runtime decodes
// strings with a TextDecoder that takes a leading U+FEFF for a byte order mark
// and drops it.
func value(text string) js.Value {
	const mark = "\uFEFF"
	if rest, ok := strings.CutPrefix(text, mark); ok {
		m := js.Global().Get("String").Call("fromCharCode", 0xFEFF)
		return js.Global().Get("Array").Call("of", m, value(rest)).Call("join", "")
	}
	return js.ValueOf(text)
}

// catch turns the panic that a DOMException has become into the error that it
// means. Any other panic passes.
func catch(err *error) {
	p := recover()
	if p == nil {
		return
	}
	thrown, ok := p.(js.Error)
	if !ok || thrown.Value.Type() != js.TypeObject {
		panic(p)
	}
	name := thrown.Value.Get("name").String()
	said := name + ": " + thrown.Value.Get("message").String()
	switch {
	case name == "QuotaExceededError", // also a class of its own, in newer browsers
		name == "NS_ERROR_DOM_QUOTA_REACHED",    // Firefox before 2024
		name == "NS_ERROR_FILE_NO_DEVICE_SPACE": // Firefox, when the disk is full
		*err = &storageError{engine.ErrQuota, said}
	case thrown.Value.InstanceOf(js.Global().Get("DOMException")),
		strings.HasPrefix(name, "NS_ERROR_"): // Firefox, such as for a damaged database
		*err = &storageError{engine.ErrDisabled, said}
	default:
		panic(p)
	}
}

// A storageError is what the browser said, and what it means.
type storageError struct {
	meaning error
	said    string
}

func (e *storageError) Error() string { return e.meaning.Error() + ": " + e.said }
func (e *storageError) Unwrap() error { return e.meaning }
