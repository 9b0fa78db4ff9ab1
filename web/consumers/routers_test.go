package consumers

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gorilla/mux"
	"github.com/labstack/echo/v4"

	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// routers has a program for each router, in which a visitor adds a key to his session at
// /add?key=KEY, and sees it at /. A first save after the header is written fails at /late.
var routers = map[string]func(h *server.Handler) http.Handler{
	"net/http": func(h *server.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/sessions/", h)
		mux.HandleFunc("/", page(h))
		mux.HandleFunc("/add", add(h))
		mux.HandleFunc("/late", late(h))
		return h.Wrap(mux)
	},
	"chi": func(h *server.Handler) http.Handler {
		r := chi.NewRouter()
		r.Use(h.Wrap)
		r.Handle("/sessions/*", h)
		r.Get("/", page(h))
		r.Get("/add", add(h))
		r.Get("/late", late(h))
		return r
	},
	"gorilla": func(h *server.Handler) http.Handler {
		r := mux.NewRouter()
		r.Use(h.Wrap)
		r.PathPrefix("/sessions/").Handler(h)
		r.HandleFunc("/", page(h))
		r.HandleFunc("/add", add(h))
		r.HandleFunc("/late", late(h))
		return r
	},
	"echo": func(h *server.Handler) http.Handler {
		e := echo.New()
		e.Use(echo.WrapMiddleware(h.Wrap))
		e.Any("/sessions/*", echo.WrapHandler(h))
		handle := func(f http.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				f(c.Response(), c.Request())
				return nil
			}
		}
		e.GET("/", handle(page(h)))
		e.GET("/add", handle(add(h)))
		e.GET("/late", handle(late(h)))
		return e
	},
	"gin": func(h *server.Handler) http.Handler {
		gin.SetMode(gin.ReleaseMode)
		g := gin.New()
		g.Any("/sessions/*path", gin.WrapH(h))
		g.GET("/", gin.WrapF(page(h)))
		g.GET("/add", gin.WrapF(add(h)))
		g.GET("/late", gin.WrapF(late(h)))
		return h.Wrap(g) // its own middleware is of another kind
	},
}

func page(h *server.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
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
		_ = json.NewEncoder(w).Encode(entries)
	}
}

func add(h *server.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cart, err := h.Open(w, r, "cart")
		if err == nil {
			err = cart.Save(r.Context(), maps.All(map[string]any{r.FormValue("key"): true}))
		}
		if err != nil {
			h.Error(w, r, err)
		}
	}
}

func late(h *server.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cart, err := h.Open(w, r, "cart")
		if err != nil {
			h.Error(w, r, err)
			return
		}
		_, _ = io.WriteString(w, "it says: ")
		err = cart.Save(r.Context(), maps.All(map[string]any{"late": true}))
		_, _ = fmt.Fprint(w, err)
	}
}

func TestRouters(t *testing.T) {
	for name, program := range routers {
		t.Run(name, func(t *testing.T) {
			h, err := server.New(server.Config{DB: openDB(t)})
			if err != nil {
				t.Fatal(err)
			}
			site := httptest.NewServer(program(h))
			defer site.Close()
			b := newBrowser(t, site.URL)
			if text := b.get(t, "/late"); !strings.Contains(text, server.ErrTooLate.Error()) {
				t.Errorf("a first save after the header: %s, want an error", text)
			}
			if got := b.get(t, "/"); got != "{}" {
				t.Errorf("somebody unknown has %s, want {}", got)
			}
			b.get(t, "/add?key=a")
			b.get(t, "/add?key=b")
			if got := b.get(t, "/"); got != `{"a":true,"b":true}` {
				t.Errorf("the visitor has %s, want a and b", got)
			}
			if text := b.get(t, "/sessions/health"); !strings.Contains(text, "ok") {
				t.Errorf("the session API says %s", text)
			}
			if got := newBrowser(t, site.URL).get(t, "/"); got != "{}" {
				t.Errorf("another visitor has %s, want {}", got)
			}
		})
	}
}

func openFile(t testing.TB) *sql.DB {
	t.Helper()
	file, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func openDB(t testing.TB) *sqlstore.DB {
	t.Helper()
	db := sqlstore.New(openFile(t), sqlstore.Limits{})
	if err := db.Create(context.Background()); err != nil {
		t.Fatal(err)
	}
	return db
}

// A browser has cookies of its own.
type browser struct {
	*http.Client
	url string
}

func newBrowser(t testing.TB, url string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{&http.Client{Jar: jar}, url}
}

// get returns the page of a path.
func (b *browser) get(t testing.TB, path string) string {
	t.Helper()
	text, err := b.ask(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (b *browser) ask(path string) (string, error) {
	res, err := b.Get(b.url + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, res.Status, text)
	}
	return strings.TrimSpace(string(text)), err
}
