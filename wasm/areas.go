//go:build js

package main

import (
	"unsafe"

	"github.com/session-interop/session-writer/wasm/engine"
)

// The page's storage areas are reached by the functions of js/src/areas.js,
// and not through syscall/js: that costs more for each call and each visitor,
// and TinyGo cannot recover from what it panics with.
//
// Each returns the length of a text, which take then copies to where it is
// wanted; or one of the codes for failures, and then said returns the length
// of the text that says why.

// noItem is what getItem returns for an item that is not there.
const noItem = -4

//go:wasmimport areas open
func areaOpen(where int32) int32

//go:wasmimport areas getItem
func areaGetItem(where int32, key unsafe.Pointer, keyLength int32) int32

//go:wasmimport areas setItem
func areaSetItem(where int32, key unsafe.Pointer, keyLength int32, text unsafe.Pointer, textLength int32) int32

//go:wasmimport areas removeItem
func areaRemoveItem(where int32, key unsafe.Pointer, keyLength int32) int32

// areaKeys returns how many keys begin with a prefix. They are those of areaKey
// until the next call of another function.
//
//go:wasmimport areas keys
func areaKeys(where int32, prefix unsafe.Pointer, prefixLength int32) int32

//go:wasmimport areas key
func areaKey(i int32) int32

//go:wasmimport areas said
func areaSaid() int32

//go:wasmimport areas take
func areaTake(to unsafe.Pointer)

// An area is one of the page's storage areas, by its number: see inLocal.
type area int32

func (a area) open() error { return failed(areaOpen(int32(a))) }

func (a area) GetItem(key string) (text string, ok bool, err error) {
	length := areaGetItem(int32(a), bytes(key), int32(len(key)))
	if length == noItem {
		return "", false, nil
	}
	if err := failed(length); err != nil {
		return "", false, err
	}
	return taken(length), true, nil
}

func (a area) SetItem(key, text string) error {
	return failed(areaSetItem(int32(a), bytes(key), int32(len(key)), bytes(text), int32(len(text))))
}

func (a area) RemoveItem(key string) error {
	return failed(areaRemoveItem(int32(a), bytes(key), int32(len(key))))
}

func (a area) Keys(prefix string) ([]string, error) {
	n := areaKeys(int32(a), bytes(prefix), int32(len(prefix)))
	if err := failed(n); err != nil {
		return nil, err
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = taken(areaKey(int32(i)))
	}
	return keys, nil
}

func bytes(text string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(text)) }

// taken returns the text that a call left for take.
func taken(length int32) string {
	if length == 0 {
		return ""
	}
	text := make([]byte, length)
	areaTake(unsafe.Pointer(unsafe.SliceData(text)))
	return unsafe.String(unsafe.SliceData(text), length)
}

// failed returns the error that a result stands for, if it does.
func failed(result int32) error {
	if result >= 0 {
		return nil
	}
	return &areaError{code: result, said: taken(areaSaid())}
}

// An areaError is what the browser said, and what it means.
type areaError struct {
	code int32
	said string
}

func (e *areaError) Error() string { return e.said }

func (e *areaError) Unwrap() error {
	switch e.code {
	case failedDisabled:
		return engine.ErrDisabled
	case failedQuota:
		return engine.ErrQuota
	}
	return nil
}
