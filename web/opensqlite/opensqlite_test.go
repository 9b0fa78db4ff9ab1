//go:build !js

package opensqlite

import (
	"errors"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/urltest"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// in returns the URL of a file's session.
func in(path, parameters string) string {
	return (&url.URL{Scheme: "sqlite", Path: path, RawQuery: parameters}).String()
}

func TestContract(t *testing.T) {
	urltest.TestContract(t, func(t *testing.T) string {
		return in(filepath.Join(t.TempDir(), "a b?#%.db"), "session=cart&owner=ada")
	})
}

func TestTheSessionIsTheStores(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "sessions.db")
	s := urltest.Open(t, in(path, "session=cart&owner=ada%40example.com"))
	if err := s.Save(ctx, maps.All(map[string]any{"a": 1, "b": 2})); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	same, err := sqlstore.New(db, sqlstore.Limits{}).Open(ctx, "ada@example.com", "cart")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := same.Load(ctx)
	if err != nil || len(entries) != 1 || string(entries["a"]) != "1" {
		t.Errorf("the store has %s, %v", entries, err)
	}
	other := urltest.Open(t, in(path, "session=cart&owner=bob"))
	if entries, err := other.Load(ctx); err != nil || len(entries) != 0 {
		t.Errorf("another owner has %s, %v", entries, err)
	}
	if err := s.Clear(ctx); err != nil {
		t.Error(err)
	}
	if found, err := same.Get(ctx, "a", nil); found || err != nil {
		t.Errorf("when it was cleared: found %v, %v", found, err)
	}
}

func TestARelativePathIsOfTheFolderOfThen(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	s := urltest.Open(t, "sqlite:a%20b.db?session=cart&owner=ada")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := s.Save(t.Context(), maps.All(map[string]any{"a": 1})); err != nil {
		t.Fatal(err)
	}
	again := urltest.Open(t, in(filepath.Join(folder, "a b.db"), "session=cart&owner=ada"))
	if found, err := again.Get(t.Context(), "a", nil); !found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestOneFileHasOneName(t *testing.T) {
	folder, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(folder, link); err != nil {
		t.Fatal(err)
	}
	path, linked := filepath.Join(folder, "sessions.db"), filepath.Join(link, "sessions.db")
	if withoutLinks(path) != withoutLinks(linked) {
		t.Errorf("before it is there: %s and %s", withoutLinks(path), withoutLinks(linked))
	}
	before := withoutLinks(path)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if withoutLinks(linked) != before {
		t.Errorf("when it is there: %s, want %s", withoutLinks(linked), before)
	}
	if missing := filepath.Join(folder, "missing", "a.db"); withoutLinks(missing) != missing {
		t.Errorf("in no folder: %s", withoutLinks(missing))
	}
}

func TestWhatAURLMayNotBe(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	for _, test := range []struct {
		url  string
		want []string
	}{
		{"sqlite:a.db", []string{`"session": it names no session`, "session=cart", `"owner"`, "owner=ada"}},
		{"sqlite:a.db?session=cart&owner=", []string{`"owner": it must be there`}},
		{"sqlite:a.db?session=a/b&owner=ada", []string{"must not contain a slash"}},
		{"sqlite:a.db?owner=ada&session=" + strings.Repeat("a", 1025), []string{"1025 bytes", "1024"}},
		{"sqlite:a.db?session=cart&owner=ada&owner=bob", []string{`"owner": it is given 2 times`}},
		{"sqlite:a.db?session=cart&owner=ada&maxAge=1h", []string{`unknown parameter "maxAge": there are session, owner`}},
		{"sqlite:?session=cart&owner=ada", []string{"names no file", "sqlite:sessions.db"}},
		{"sqlite:///?session=cart&owner=ada", []string{"names no file"}},
		{"sqlite:a/?session=cart&owner=ada", []string{"names no file"}},
		{"sqlite:a%00?session=cart&owner=ada", []string{"names no file"}},
		{"sqlite:a%?session=cart&owner=ada", []string{"%25"}},
		{"sqlite://a.db?session=cart&owner=ada", []string{"it has a host", "sqlite:sessions.db", "sqlite:///"}},
		{"sqlite://ada:hunter@/a.db?session=cart&owner=ada", []string{"it has a host"}},
	} {
		s, err := session.OpenURL(t.Context(), test.url)
		if s != nil || !errors.Is(err, session.ErrConfig) {
			t.Errorf("%s: got %v, %v, want an error that wraps ErrConfig", test.url, s, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: %v, want it to say %q", test.url, err, want)
			}
		}
	}
	if made, err := os.ReadDir(folder); err != nil || len(made) != 0 {
		t.Errorf("there is %v, %v", made, err)
	}
}

func TestAFileThatCannotBeOpened(t *testing.T) {
	folder := t.TempDir()
	none := filepath.Join(folder, "index.html")
	if err := os.WriteFile(none, []byte(strings.Repeat("<html>", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{none, folder, filepath.Join(folder, "missing", "a.db")} {
		s, err := session.OpenURL(t.Context(), in(path, "session=cart&owner=ada"))
		if s != nil || err == nil || errors.Is(err, session.ErrConfig) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, %v", path, s, err)
		}
	}
}
