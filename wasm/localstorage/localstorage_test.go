//go:build !js

package localstorage

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	session "github.com/session-interop/session-writer"
)

func TestThereIsNoneOutsideBrowsers(t *testing.T) {
	for _, open := range []func() (session.Storage, error){Local, Session} {
		if s, err := open(); s != nil || !errors.Is(err, session.ErrDisabled) {
			t.Errorf("got %v, %v, want an error that wraps session.ErrDisabled", s, err)
		}
	}
}

func TestURLsOutsideBrowsers(t *testing.T) {
	for _, test := range []struct {
		url  string
		want error
	}{
		{"local:///cart?maxAge=1h", session.ErrDisabled},
		{"tab:///cart", session.ErrDisabled},
		{"local:///", session.ErrConfig},
		{"tab:///cart?maxAge=1d", session.ErrConfig},
	} {
		if s, err := session.OpenURL(t.Context(), test.url); s != nil || !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, %v, want an error that wraps %v", test.url, s, err, test.want)
		}
	}
}

func TestWhatExceptionsMean(t *testing.T) {
	text, err := os.ReadFile("../../testdata/exceptions.json")
	if err != nil {
		t.Fatal(err)
	}
	var examples []struct {
		Name         string
		DOMException bool
		Means        string
	}
	if err := json.Unmarshal(text, &examples); err != nil || len(examples) == 0 {
		t.Fatal(err, examples)
	}
	means := map[string]error{"quota": session.ErrQuota, "disabled": session.ErrDisabled, "": nil}
	for _, e := range examples {
		want, ok := means[e.Means]
		if got := meaningOf(e.Name, e.DOMException); !ok || !errors.Is(got, want) {
			t.Errorf("%s (a DOMException: %v) means %v, want %q", e.Name, e.DOMException, got, e.Means)
		}
	}
}
