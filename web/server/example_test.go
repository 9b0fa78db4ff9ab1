//go:build !js

package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/client"
	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// A program that knows its users says whose sessions a request is about. Its own code
// finds what a user's devices have saved.
func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file, err := sqlite.Open(filepath.Join(folder, "sessions.db"), sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	db := sqlstore.New(file, sqlstore.Limits{})
	if err := db.Create(ctx); err != nil {
		log.Fatal(err)
	}

	handler, err := server.New(server.Config{
		DB: db,
		// Origins: []string{"https://example.com"}, behind a proxy
		Identify: func(r *http.Request) (id string, err error) {
			user, _, ok := r.BasicAuth() // or by the program's own cookie
			if !ok {
				return "", errors.New("nobody is signed in")
			}
			return user, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	listening := httptest.NewServer(handler)
	defer listening.Close()

	device, err := session.Open(ctx, session.NewMemory(), "cart", session.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := device.Save(ctx, maps.All(map[string]any{"items": 3})); err != nil {
		log.Fatal(err)
	}
	replicas := client.New(&http.Client{Transport: as("ada")}, listening.URL+"/sessions/")
	fmt.Println(device.Sync(ctx, replicas(device.Name())))

	cart, err := db.Open(ctx, "ada", "cart")
	if err != nil {
		log.Fatal(err)
	}
	var items int
	_, err = cart.Get(ctx, "items", &items)
	fmt.Println(items, err)
	// Output:
	// <nil>
	// 3 <nil>
}

// A handler saves into the visitor's session, and renders it. The page's script opens the
// same session with what Embed has put there, and syncs it with this server.
func ExampleHandler_Open() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file, err := sqlite.Open(filepath.Join(folder, "sessions.db"), sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	db := sqlstore.New(file, sqlstore.Limits{})
	if err := db.Create(context.Background()); err != nil {
		log.Fatal(err)
	}
	sessions, err := server.New(server.Config{DB: db})
	if err != nil {
		log.Fatal(err)
	}

	page := template.Must(template.New("").Parse("<p>{{len .Seen}} seen</p>{{.Session}}\n"))
	mux := http.NewServeMux()
	mux.Handle("/sessions/", sessions)
	mux.HandleFunc("/pages/{page}", func(w http.ResponseWriter, r *http.Request) {
		seen, err := sessions.Open(w, r, "seen")
		if err == nil {
			err = seen.Save(r.Context(), maps.All(map[string]any{r.PathValue("page"): true}))
		}
		var show struct {
			Seen    map[string]json.RawMessage
			Session template.HTML
		}
		if err == nil {
			show.Seen, err = seen.Load(r.Context())
		}
		if err == nil {
			show.Session, err = sessions.Embed(w, r, "seen")
		}
		if err != nil {
			sessions.Error(w, r, err)
			return
		}
		_ = page.Execute(w, show)
	})
	protected := http.NewCrossOriginProtection().Handler(sessions.Wrap(mux))
	listening := httptest.NewServer(protected)
	defer listening.Close()

	jar, err := cookiejar.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	browser := http.Client{Jar: jar}
	for _, path := range []string{"/pages/tea", "/pages/coffee", "/pages/tea"} {
		res, err := browser.Get(listening.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		shown, _, _ := strings.Cut(string(text), "<script")
		fmt.Println(shown, err)
	}
	// Output:
	// <p>1 seen</p> <nil>
	// <p>2 seen</p> <nil>
	// <p>2 seen</p> <nil>
}

// A visitor signs in, and has his cart as a user. Identify knows users by the program's own
// login, which here is a cookie with the user's name: a real one is signed.
func ExampleHandler_Adopt() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file, err := sqlite.Open(filepath.Join(folder, "sessions.db"), sqlite.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	db := sqlstore.New(file, sqlstore.Limits{})
	if err := db.Create(context.Background()); err != nil {
		log.Fatal(err)
	}
	sessions, err := server.New(server.Config{
		DB: db,
		Identify: func(r *http.Request) (string, error) {
			user, err := r.Cookie("user")
			if err != nil {
				return "", nil // a visitor
			}
			return user.Value, nil
		},
		// Two apples in the visitor's cart and one in the user's are three.
		Combine: func(session, key string, user, visitor json.RawMessage) (any, bool) {
			var a, b int
			if json.Unmarshal(user, &a) != nil || json.Unmarshal(visitor, &b) != nil {
				return nil, false // the later one stays
			}
			return a + b, true
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.Handle("/sessions/", sessions)
	mux.HandleFunc("POST /add/{fruit}", func(w http.ResponseWriter, r *http.Request) {
		cart, err := sessions.Open(w, r, "cart")
		var n int
		if err == nil {
			_, err = cart.Get(r.Context(), r.PathValue("fruit"), &n)
		}
		if err == nil {
			err = cart.Save(r.Context(), maps.All(map[string]any{r.PathValue("fruit"): n + 1}))
		}
		if err != nil {
			sessions.Error(w, r, err)
			return
		}
		fmt.Fprint(w, r.PathValue("fruit"), "s: ", n+1)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		user := &http.Cookie{Name: "user", Value: r.FormValue("name"), Path: "/"} // after the password was checked
		signedIn := r.Clone(r.Context())
		signedIn.AddCookie(user) // for Identify
		// Without room for all, the rest comes with a later login.
		if err := sessions.Adopt(w, signedIn); err != nil && !errors.Is(err, session.ErrQuota) {
			sessions.Error(w, r, err)
			return
		}
		http.SetCookie(w, user)
		fmt.Fprint(w, "hello ", user.Value)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.Logout(w, r); err != nil {
			sessions.Error(w, r, err)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "user", Path: "/", MaxAge: -1})
		fmt.Fprint(w, "bye") // the page's script calls forget
	})
	protected := http.NewCrossOriginProtection().Handler(sessions.Wrap(mux))
	listening := httptest.NewServer(protected)
	defer listening.Close()

	for _, paths := range [][]string{
		{"/login?name=ada", "/add/apple", "/logout", "/add/apple"},
		{"/add/apple", "/add/apple", "/login?name=ada", "/add/apple"}, // in another browser
	} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			log.Fatal(err)
		}
		browser := http.Client{Jar: jar}
		for _, path := range paths {
			res, err := browser.Post(listening.URL+path, "", nil)
			if err != nil {
				log.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			fmt.Println(string(text), err)
		}
	}
	// Output:
	// hello ada <nil>
	// apples: 1 <nil>
	// bye <nil>
	// apples: 1 <nil>
	// apples: 1 <nil>
	// apples: 2 <nil>
	// hello ada <nil>
	// apples: 4 <nil>
}

// as makes requests for a user.
type as string

func (user as) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth(string(user), "")
	return http.DefaultTransport.RoundTrip(r)
}
