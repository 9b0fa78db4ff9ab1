// These tests run in the page that js/test/module-storage.test.js makes. It has what the
// module imports.

//go:build js && page

package main

import (
	"strings"
	"syscall/js"
	"testing"

	"github.com/session-interop/session-writer/writertest"
)

func each(t *testing.T, f func(t *testing.T, storage area, property string)) {
	for _, property := range []string{"localStorage", "sessionStorage", "memory"} {
		t.Run(property, func(t *testing.T) {
			handle := js.Global().Call("openArea", property).Int()
			f(t, area(handle), property)
		})
	}
}

func TestStorage(t *testing.T) {
	each(t, func(t *testing.T, storage area, property string) {
		writertest.TestStorage(t, func(t *testing.T) writertest.StorageHarness {
			keys, err := storage.Keys("")
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range keys {
				if err := storage.RemoveItem(key); err != nil {
					t.Fatal(err)
				}
			}
			h := writertest.StorageHarness{Storage: storage}
			if property != "memory" {
				h.Elsewhere = func(key, text string) {
					js.Global().Get(property).Call("setItem", key, text)
				}
			}
			return h
		})
	})
}

func TestSame(t *testing.T) {
	each(t, func(t *testing.T, storage area, _ string) {
		set := func(text string) {
			t.Helper()
			if err := storage.SetItem("a", text); err != nil {
				t.Fatal(err)
			}
		}
		read := func(want string) {
			t.Helper()
			if text, ok, err := storage.GetItem("a"); text != want || !ok || err != nil {
				t.Fatalf("GetItem returned %.20q, %v, %v", text, ok, err)
			}
		}
		for _, text := range []string{"", "x", "\uFEFFä😀", strings.Repeat("x", 1<<17)} {
			set(text)
			read(text)
			if !storage.Same("a") {
				t.Errorf("%.20q is not the same", text)
			}
			set(text + "y")
			if storage.Same("a") {
				t.Errorf("%.20q is the same with a y", text)
			}
			read(text + "y")
		}
		if err := storage.RemoveItem("a"); err != nil {
			t.Fatal(err)
		}
		if storage.Same("a") {
			t.Error("what is gone is the same")
		}
	})
}
