package session_test

import (
	"context"
	"fmt"
	"maps"

	session "github.com/session-interop/session-writer"
)

// stores are where this program keeps sessions. Any Storage will do.
var stores = map[string]session.Storage{"main": session.NewMemory(), "test": session.NewMemory()}

func init() { session.RegisterOpener("store", openStore) }

// openStore reads URLs whose host is one of the stores. It is a stranger's own Opener.
func openStore(u *session.URL) func(context.Context) (session.Opened, error) {
	storage, there := stores[u.Host]
	if !there {
		u.Refuse("there is no such store: it must be like store://main/cart or store://test/cart")
	}
	name, config := u.NameInPath(), session.Config{MaxAge: u.MaxAge()}
	return func(ctx context.Context) (session.Opened, error) {
		return session.Open(ctx, storage, name, config)
	}
}

// A program can have URLs of its own.
func ExampleRegisterOpener() {
	ctx := context.Background()
	cart, err := session.OpenURL(ctx, "store://test/cart?maxAge=720h")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cart.Close()
	fmt.Println(cart.Save(ctx, maps.All(map[string]any{"items": 3})))

	_, err = session.OpenURL(ctx, "store://live/cart?maxAge=30d")
	fmt.Println(err)
	// Output:
	// <nil>
	// session URL "store://live/cart": invalid configuration: there is no such store: it must be like store://main/cart or store://test/cart; parameter "maxAge": it is "30d", must be like 90s, 30m or 720h, of 1ms at least, or 0
}
