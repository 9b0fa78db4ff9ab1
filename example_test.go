package session_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"

	session "github.com/session-interop/session-writer"
)

// A batch is saved with one call. What is not among the entries stays.
func ExampleWriter() {
	ctx := context.Background()
	s, err := session.Open(ctx, session.NewMemory(), "cart", session.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	var w session.Writer = s
	fmt.Println(w.Save(ctx, maps.All(map[string]any{"user": "ada", "items": 3})))
	fmt.Println(w.Save(ctx, maps.All(map[string]any{"items": 4})))

	entries, err := s.Load(ctx)
	fmt.Printf("user %s, items %s, %v\n", entries["user"], entries["items"], err)
	// Output:
	// <nil>
	// <nil>
	// user "ada", items 4, <nil>
}

// If one entry cannot be saved, nothing of the batch is, and the error names the
// entry.
func ExampleWriter_misuse() {
	ctx := context.Background()
	s, err := session.Open(ctx, session.NewMemory(), "cart", session.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	err = s.Save(ctx, maps.All(map[string]any{"user": "ada", "total": math.NaN()}))
	fmt.Println(err)

	var refused *session.EntryError
	fmt.Println(errors.As(err, &refused) && refused.Key == "total", errors.Is(err, session.ErrValue))

	found, err := s.Get(ctx, "user", nil)
	fmt.Println("user was saved:", found, err)
	// Output:
	// session "cart": save: key "total": unsupported value: NaN
	// true true
	// user was saved: false <nil>
}

// A subscriber is told of what other writers do to the session, and of what this one
// does.
func ExampleSession_Subscribe() {
	ctx := context.Background()
	storage := session.NewMemory()
	here, _ := session.Open(ctx, storage, "cart", session.Config{})
	defer here.Close()
	there, _ := session.Open(ctx, storage, "cart", session.Config{})
	defer there.Close()

	changes := make(chan session.Change)
	stop, err := here.Subscribe(func(c session.Change) { changes <- c })
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	err = there.Save(ctx, maps.All(map[string]any{"user": "ada"}))
	c := <-changes
	fmt.Printf("user %s, remote %v, %v\n", c.Set["user"], c.Remote, err)
	// Output:
	// user "ada", remote true, <nil>
}

// A URL in the configuration says where a session is kept.
func ExampleOpenURL() {
	ctx := context.Background()
	cart, err := session.OpenURL(ctx, "memory:///cart?maxAge=1h")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cart.Close()
	fmt.Println(cart.Save(ctx, maps.All(map[string]any{"items": 3})))

	_, err = session.OpenURL(ctx, "memory:///cart?maxage=1d")
	fmt.Println(err)
	// Output:
	// <nil>
	// session URL "memory:///cart": invalid configuration: unknown parameter "maxage": there are maxAge
}
