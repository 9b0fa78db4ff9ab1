//go:build !js

package sqlstore

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/sqlite"
)

// In a database that is full everybody can still read, remove and clear, and the
// day after, too.
func TestADatabaseThatIsFullCanBeEmptied(t *testing.T) {
	onlySQLite(t, "of its limit")
	for _, size := range []int{50, 5000} {
		db, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"), sqlite.Config{MaxBytes: 1 << 19})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		d := create(t, db, Limits{Owners: 1 << 30})
		at := time.Now()
		d.now = func() time.Time { return at }
		n := 0
		exchange := func(owner, members string) (session.Received, error) {
			n++
			done, err := d.Exchange(t.Context(), owner, "cart", session.Sent{Owner: Tag(owner), Items: fmt.Sprintf(
				`[{"format":1,"batches":[{"stamp":"%013d-%04x-0123456789ab",%s}]}]`, at.UnixMilli(), n, members)})
			return done.Received, err
		}
		value := strings.Repeat("v", size)
		var owners []string
		for err == nil {
			owner := fmt.Sprint("owner ", len(owners))
			if err = addVisitor(t, d, owner); err == nil {
				if _, err = exchange(owner, fmt.Sprintf(`"set":{"a":"%s","b":"%s"}`, value, value)); err == nil {
					owners = append(owners, owner)
				}
			}
		}
		if !errors.Is(err, session.ErrFull) || len(owners) < 10 {
			t.Fatalf("after %d owners: %v", len(owners), err)
		}
		fill := func() { // until not the least fits
			for err := error(nil); err == nil; {
				_, err = exchange(owners[n%len(owners)], fmt.Sprintf(`"set":{"c%d":1}`, n))
			}
		}
		fill()
		// Nothing of what is sent is too large.
		s, err := session.Open(t.Context(), session.NewMemory(), "cart", session.Config{})
		if err == nil {
			err = s.Save(t.Context(), maps.All(map[string]any{"a": value, "b": value}))
		}
		if err != nil {
			t.Fatal(err)
		}
		var entry *session.EntryError
		if err := s.Sync(t.Context(), d.Replica(owners[0], "cart")); !errors.Is(err, session.ErrFull) || errors.As(err, &entry) {
			t.Errorf("a Sync with a full database: %v", err)
		}
		// What removes something gets through all the same.
		if err := s.Remove(t.Context(), "a", "b"); err != nil {
			t.Fatal(err)
		}
		if err := s.Save(t.Context(), maps.All(map[string]any{"new": value + value})); err != nil {
			t.Fatal(err)
		}
		_ = s.Sync(t.Context(), d.Replica(owners[0], "cart"))
		if done, err := d.Exchange(t.Context(), owners[0], "cart", session.Sent{Owner: Tag(owners[0])}); err != nil || strings.Contains(done.Item, `"set":{"a"`) {
			t.Errorf("after the removal: %s, %v", done.Item, err)
		}
		fill() // the room that the removal has made
		inDB, err := d.Open(t.Context(), owners[0], "cart")
		if err != nil {
			t.Fatal(err)
		}
		err = inDB.Save(t.Context(), maps.All(map[string]any{"a": value}))
		if !errors.Is(err, session.ErrFull) || !errors.Is(err, session.ErrQuota) {
			t.Errorf("a save into a full database: %v", err)
		}
		at = at.Add(24 * time.Hour)
		for i, owner := range owners {
			if !isKnown(t, d, owner) {
				t.Fatalf("the day after, owner %d of %d is unknown", i, len(owners))
			}
			remove := `"remove":["a"]`
			if i%2 == 0 {
				remove = `"clear":true`
			}
			if got, err := exchange(owner, remove); err != nil || strings.Contains(got.Item, `"a":`) {
				t.Fatalf("%s by owner %d of %d: %s, %v", remove, i, len(owners), got.Item, err)
			}
		}
		// A removal that is remembered takes as much as a small value did.
		if _, err := exchange(owners[0], `"set":{"a":1}`); err != nil && size > 50 {
			t.Errorf("with room again: %v", err)
		}
	}
}
