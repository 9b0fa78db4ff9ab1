//go:build !js

package opensqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/session-interop/session-writer"
	_ "github.com/session-interop/session-writer/wasm/localstorage"
	_ "github.com/session-interop/session-writer/web/client"
)

// Whatever a URL is, each of our openers refuses it or would open it. A context that is done
// keeps them from that.
func TestAnyURL(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	wholes := []string{
		"sqlite:a.db?session=cart&owner=ada", "sqlite:///a.db?owner=ada&session=cart", "local:///cart?maxAge=1h", "tab:///cart",
		"https://ada:hunter@example.com/sessions/?session=cart&cookies=a", "http://localhost:8080/?session=cart&maxAge=1h",
	}
	parts := []string{":", "/", "//", "?", "#", "&", "=", "%", "%2F", "%ff", "@", ";", "[", "]", "session", "owner=", "\x00", "\xff", "ü", "9"}
	for range 50_000 {
		url := wholes[random.IntN(len(wholes))]
		for range random.IntN(6) {
			at := random.IntN(len(url) + 1)
			url = url[:at] + parts[random.IntN(len(parts))] + url[min(len(url), at+random.IntN(4)):]
		}
		if problem := tryURL(ctx, url); problem != "" {
			t.Fatalf("seed %d: %q: %s", seed, url, problem)
		}
	}
}

// tryURL returns what is wrong with what OpenURL does when there is no time.
func tryURL(ctx context.Context, url string) (problem string) {
	defer func() {
		if p := recover(); p != nil {
			problem = fmt.Sprintf("it panics: %v", p)
		}
	}()
	s, err := session.OpenURL(ctx, url)
	if s != nil || !errors.Is(err, session.ErrConfig) && !errors.Is(err, context.Canceled) {
		return fmt.Sprintf("it returns %v, %v", s, err)
	}
	return ""
}
