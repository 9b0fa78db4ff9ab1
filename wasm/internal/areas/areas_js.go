// Package areas is the page's storage as js/src/storage.js lends it to the
// module: what package localstorage does through syscall/js, as any Go program
// can, but through imports of the module's own, which cost a fraction.
package areas

import (
	"unsafe"

	"github.com/session-interop/session-writer/internal/engine"
)

// The imports. A result below 0 is one of the codes. A text comes in two
// steps, which nothing may come between: the number of its bytes is the result
// of one call, and take then writes them where there is room for so many.

//go:wasmimport session open
func open(area int32) int32

//go:wasmimport session getItem
func getItem(area int32, key string) (length int32)

// same returns 1 for an item that has the text that getItem gave last.
//
//go:wasmimport session same
func same(area int32, key string) int32

//go:wasmimport session setItem
func setItem(area int32, key, text string) int32

//go:wasmimport session removeItem
func removeItem(area int32, key string) int32

// keys lists keys and returns their number; listed gives them one by one.
//
//go:wasmimport session keys
func keys(area int32, prefix string) (number int32)

//go:wasmimport session listed
func listed(i int32) (length int32)

//go:wasmimport session take
func take(at unsafe.Pointer)

// An Area is one of the page's storage areas, by its number in
// js/src/storage.js. Where the text of an item has [engine.Given], it sets
// what the page saves, which never comes into the module's memory.
type Area int32

var _ engine.Rereader = Area(0)

// Open returns an area. The error wraps engine.ErrDisabled.
func Open(number int32) (Area, error) { return Area(number), failure(open(number)) }

// GetItem implements engine.Storage.
func (a Area) GetItem(key string) (text string, ok bool, err error) {
	length := getItem(int32(a), key)
	if length == CodeAbsent {
		return "", false, nil
	}
	if length < 0 {
		return "", false, failure(length)
	}
	return taken(length), true, nil
}

// Same implements engine.Rereader.
func (a Area) Same(key string) bool { return same(int32(a), key) != 0 }

// SetItem implements engine.Storage.
func (a Area) SetItem(key, text string) error { return failure(setItem(int32(a), key, text)) }

// RemoveItem implements engine.Storage.
func (a Area) RemoveItem(key string) error { return failure(removeItem(int32(a), key)) }

// Keys implements engine.Storage.
func (a Area) Keys(prefix string) ([]string, error) {
	number := keys(int32(a), prefix)
	if number < 0 {
		return nil, failure(number)
	}
	list := make([]string, number)
	for i := range list {
		list[i] = taken(listed(int32(i)))
	}
	return list, nil
}

func taken(length int32) string {
	if length == 0 {
		return ""
	}
	text := make([]byte, length)
	take(unsafe.Pointer(unsafe.SliceData(text)))
	return unsafe.String(unsafe.SliceData(text), length)
}

// failure returns the error that a code stands for, and nil when it is none.
// What was thrown is kept outside: see js/src/storage.js.
func failure(code int32) error {
	if code >= 0 {
		return nil
	}
	for _, f := range failures {
		if f.code == code {
			return f.err
		}
	}
	return ErrThrown
}
