package sqlstore

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
)

func TestTag(t *testing.T) {
	// The first digits of printf 'session-writer owner\0%s' … | sha256sum.
	if got, want := Tag(owner), "6f1108c5ccefa33e"; got != want {
		t.Errorf("the tag is %s, want %s", got, want)
	}
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(Tag("")) || strings.HasPrefix(digest(owner), Tag(owner)) {
		t.Error("a tag is not 16 digits that say nothing of what is stored")
	}
}

func TestWhatIsAnotherOwnersIsRefused(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	sent := session.Sent{Owner: Tag("another"), Items: "[" + item(past, `"set":{"theirs":1}`) + "]"}
	for range 2 {
		_, err := d.Exchange(t.Context(), owner, "cart", sent)
		var refused *session.OwnerError
		if !errors.As(err, &refused) || refused.Owner != Tag(owner) {
			t.Errorf("got %v, want an OwnerError with %s", err, Tag(owner))
		}
		if got := mustExchange(t, d, owner, "cart", "", ""); strings.Contains(got.Item, "theirs") || got.Owner != Tag(owner) {
			t.Errorf("the owner has %+v", got)
		}
		mustExchange(t, d, owner, "cart", "", "["+item(past, `"set":{"own":1}`)+"]")
	}
}

// Who does not know yet whose session it is asks for that alone.
func TestWithoutAnOwnerNothingIsMergedOrGiven(t *testing.T) {
	path := file(t)
	d := create(t, open(t, path), Limits{})
	changes := commits(t, open(t, path))
	ask := func(items string) {
		t.Helper()
		before := changes()
		done, err := d.Exchange(t.Context(), owner, "cart", session.Sent{Items: items, Now: past, MaxAge: 1})
		if want := (Exchanged{Received: session.Received{Owner: Tag(owner), Age: -1}}); err != nil || done != want {
			t.Errorf("sent %q: %+v, %v, want %+v", items, done, err, want)
		}
		if changes() != before {
			t.Errorf("sent %q: something was changed", items)
		}
	}
	for _, with := range []string{"nothing", "something"} {
		t.Run("with "+with+" there", func(t *testing.T) {
			for _, items := range []string{
				"", "[]", "[" + item(past+5, `"clear":true,"set":{"b":2}`) + "]",
				"[" + item(time.Now().Add(48*time.Hour).UnixMilli(), `"set":{"b":2}`) + "]", "[1]", "x",
			} {
				ask(items)
			}
			if _, err := d.Exchange(t.Context(), owner, "cart", session.Sent{Cursor: "x-1"}); !errors.Is(err, session.ErrCursor) {
				t.Errorf("a cursor of nobody: %v, want ErrCursor", err)
			}
		})
		cursor := mustExchange(t, d, owner, "cart", "", "["+item(past, `"set":{"a":1}`)+"]").Cursor
		if _, err := d.Exchange(t.Context(), owner, "cart", session.Sent{Cursor: cursor}); !errors.Is(err, session.ErrCursor) {
			t.Errorf("a cursor of nobody: %v, want ErrCursor", err)
		}
	}
	if got := mustExchange(t, d, owner, "cart", "", "").Item; got != item(past, `"set":{"a":1}`) {
		t.Errorf("the owner has %s", got)
	}
	if _, err := d.Exchange(t.Context(), owner, "a/b", session.Sent{}); !errors.Is(err, session.ErrConfig) {
		t.Errorf("a name that no session can have: %v, want ErrConfig", err)
	}
}

// addVisitor adds an owner with a device, whose secret is his id.
func addVisitor(t *testing.T, d *DB, owner string) error {
	err := d.AddOwner(t.Context(), owner)
	if err == nil {
		_, err = d.AddDevice(t.Context(), Added{Owner: owner, Secret: owner, Name: "a browser"})
	}
	return err
}

// isKnown reports whether there is a device of that secret, and it has access.
func isKnown(t *testing.T, d *DB, secret string) bool {
	t.Helper()
	known, found, err := d.FindDevice(t.Context(), secret, Lifetimes{})
	if err != nil {
		t.Error(err)
	}
	return found && !known.Ended
}

func TestOwnersAreMade(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{Owners: 2})
	now := time.Now()
	d.now = func() time.Time { return now }
	known := func(owner string) bool { return isKnown(t, d, owner) }
	add := func(owner string) error { return addVisitor(t, d, owner) }
	if known("a") {
		t.Error("somebody is known who was never made an owner")
	}
	if err := errors.Join(add("a"), add("b")); err != nil {
		t.Fatal(err)
	}
	if err := add("c"); !errors.Is(err, ErrBusy) || known("c") || !known("a") || !known("b") {
		t.Errorf("a third in the same minute: %v, want ErrBusy", err)
	}
	now = now.Add(61 * time.Second)
	if err := add("c"); err != nil || !known("c") {
		t.Errorf("a minute later: %v", err)
	}

	mustExchange(t, d, "b", "cart", "", "["+item(now.UnixMilli(), `"set":{"a":1}`)+"]")
	now = now.Add(KeptFor - 24*time.Hour)
	if !known("a") {
		t.Error("who came almost KeptFor ago is unknown")
	}
	mustExchange(t, d, "b", "cart", "", "") // as a program of the server's does
	now = now.Add(48 * time.Hour)
	mustPrune(t, d, now)
	// The browser of b keeps its cookie no longer than that, whoever uses his session.
	for owner, want := range map[string]bool{"a": true, "b": false, "c": false} {
		if known(owner) != want {
			t.Errorf("%s is known: %t, want %t", owner, !want, want)
		}
	}
}

// This clock was ahead, and is right again.
func TestOwnersWhoAreOfTheFutureAreNoObstacle(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{Owners: 2})
	ahead := time.Hour
	start := time.Now()
	d.now = func() time.Time { return start.Add(ahead) }
	for _, owner := range []string{"a", "b"} {
		if err := d.AddOwner(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
	}
	ahead = 0
	if err := d.AddOwner(t.Context(), "c"); err != nil {
		t.Errorf("once the clock is right: %v", err)
	}
}
