//go:build !js

package server

import (
	"testing"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

func TestServerKeepsTheRules(t *testing.T) {
	url := serverURL(t)
	writertest.TestReplica(t, func(t *testing.T) session.Replica {
		b := newBrowser(t, url) // all tabs of one browser
		// It has its cookie before several tabs ask at once, each of which
		// would get one.
		if res := b.do(t, "POST", "/sessions/pair", ""); res.StatusCode != 200 {
			t.Fatalf("pair: %d %s", res.StatusCode, res.body)
		}
		return b.server("cart")
	})
}
