// Package urltest tests the openers of session.OpenURL.
package urltest

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

// Open opens what a URL names until the test ends.
func Open(t *testing.T, url string) session.Opened {
	t.Helper()
	s, err := session.OpenURL(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestContract tests the sessions that URLs name as Writers. newURL returns the URL of one
// that is new.
func TestContract(t *testing.T, newURL func(t *testing.T) string) {
	writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
		at := newURL(t)
		return writertest.Harness{
			Open: func(ctx context.Context) (session.Writer, error) {
				s, err := session.OpenURL(ctx, at)
				if err == nil {
					t.Cleanup(func() { _ = s.Close() })
				}
				return s, err
			},
			Load: func(ctx context.Context) (map[string]json.RawMessage, error) {
				s, err := session.OpenURL(ctx, at)
				if err != nil {
					return nil, err
				}
				defer func() { _ = s.Close() }()
				return s.Load(ctx)
			},
			See: func(context.Context, session.Writer) error { return nil }, // it always does
		}
	})
}
