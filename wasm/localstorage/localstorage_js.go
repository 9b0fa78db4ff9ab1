package localstorage

import (
	"strings"
	"syscall/js"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/engine"
)

// One of each, as sessions in one document must be told of each other's saves:
// the storage event goes to other documents only (HTML, "12.2.4 The Storage
// event").
var areas = map[string]*area{
	"localStorage":   {property: "localStorage"},
	"sessionStorage": {property: "sessionStorage"},
}

// An area is a storage area. Its methods are those of the Storage interface.
type area struct {
	property string
	storage  js.Value
	watchers engine.Watchers
}

func open(property string) (session.Storage, error) {
	a := areas[property]
	// Reading the property may throw a SecurityError, which Value.Get would
	// let through the middle of Go's stack, and Value.Call does not.
	storage, err := read(js.Global(), a.property)
	if err != nil {
		return nil, err
	}
	if storage.IsUndefined() || storage.IsNull() {
		return nil, &storageError{session.ErrDisabled, "there is no " + a.property + " here"}
	}
	a.storage = storage
	return a, nil
}

// read reads a property. Whatever that throws means that the property cannot be used.
func read(object js.Value, property string) (value js.Value, err error) {
	defer func() {
		p := recover()
		if thrown, ok := p.(js.Error); ok {
			err = &storageError{session.ErrDisabled, js.Global().Get("String").Invoke(thrown.Value).String()}
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
	meaning := meaningOf(name, thrown.Value.InstanceOf(js.Global().Get("DOMException")))
	if meaning == nil {
		panic(p)
	}
	*err = &storageError{meaning, said}
}
