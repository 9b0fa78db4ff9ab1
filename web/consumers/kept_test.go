package consumers

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/sessions"

	"github.com/session-interop/session-writer/web/server"
)

// atOnce is how many requests of one visitor run at once. Each adds a key.
const atOnce = 64

// A site is a program in which /add?key=KEY adds a key to the visitor's session, and /
// tells how many there are.
type site func(t *testing.T) http.Handler

var sites = []struct {
	name string
	site site
	// keeps is how many keys must be left, or 0 if that is up to chance.
	keeps int
}{
	{"session-writer", sessionWriter, atOnce + 1},
	{"scs", withSCS, 0},
	{"gorilla/sessions, in files", withGorilla(func(t *testing.T) sessions.Store {
		return sessions.NewFilesystemStore(t.TempDir(), secret)
	}), 0},
	{"gorilla/sessions, in the cookie", withGorilla(func(*testing.T) sessions.Store {
		return sessions.NewCookieStore(secret)
	}), 0},
}

var secret = []byte("a secret of thirty-two bytes ...")

// TestKeptOfRequestsAtOnce prints the table in web/README.md.
func TestKeptOfRequestsAtOnce(t *testing.T) {
	for _, s := range sites {
		t.Run(s.name, func(t *testing.T) {
			site := httptest.NewServer(s.site(t))
			defer site.Close()
			b := newBrowser(t, site.URL)
			b.get(t, "/add?key=first")
			failed := make(chan error, atOnce)
			for i := range atOnce {
				go func() {
					_, err := b.ask(fmt.Sprintf("/add?key=%d", i))
					failed <- err
				}()
			}
			refused := 0
			for range atOnce {
				if err := <-failed; err != nil {
					refused++
					t.Log(err)
				}
			}
			got := b.get(t, "/")
			fmt.Printf("%s keeps %s of %d keys; %d requests failed\n", s.name, got, atOnce+1, refused)
			if s.keeps > 0 && (got != fmt.Sprint(s.keeps) || refused > 0) {
				t.Errorf("%s of %d keys are left, and %d requests failed", got, s.keeps, refused)
			}
		})
	}
}

func sessionWriter(t *testing.T) http.Handler {
	h, err := server.New(server.Config{DB: openDB(t)})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/add", add(h))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		cart, err := h.Open(w, r, "cart")
		if err != nil {
			h.Error(w, r, err)
			return
		}
		entries, err := cart.Load(r.Context())
		if err != nil {
			h.Error(w, r, err)
			return
		}
		_, _ = fmt.Fprint(w, len(entries))
	})
	return h.Wrap(mux)
}

func withSCS(t *testing.T) http.Handler {
	db := openFile(t)
	create(t, db)
	manager := scs.New()
	manager.Store = sqlite3store.NewWithCleanupInterval(db, 0)
	mux := http.NewServeMux()
	mux.HandleFunc("/add", func(_ http.ResponseWriter, r *http.Request) {
		manager.Put(r.Context(), r.FormValue("key"), true)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, len(manager.Keys(r.Context())))
	})
	return manager.LoadAndSave(mux)
}

// create makes the table of scs, as its documentation says.
func create(t *testing.T, db *sql.DB) {
	t.Helper()
	for _, statement := range []string{
		"CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL)",
		"CREATE INDEX sessions_expiry_idx ON sessions(expiry)",
	} {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func withGorilla(newStore func(t *testing.T) sessions.Store) site {
	return func(t *testing.T) http.Handler {
		store := newStore(t)
		mux := http.NewServeMux()
		mux.HandleFunc("/add", func(w http.ResponseWriter, r *http.Request) {
			cart, err := store.Get(r, "cart")
			if err == nil {
				cart.Values[r.FormValue("key")] = true
				err = cart.Save(r, w)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			cart, err := store.Get(r, "cart")
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = fmt.Fprint(w, len(cart.Values))
		})
		return mux
	}
}
