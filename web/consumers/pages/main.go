// The command pages renders a page with a session in it, by html/template and by templ. It
// has a login, which makes a visitor's cart the user's.
//
//	pages -port 8080 -package FOLDER
//
// The folder is that of the npm package.
package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/a-h/templ"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

//go:embed page.html app.js
var files embed.FS

var byTemplate = template.Must(template.ParseFS(files, "page.html"))

// A page is what both templates show.
type page struct {
	Cart string        // the entries, as JSON
	Self template.HTML // the session, for the page's script
}

// byTempl is what templ makes of
//
//	<title>Cart</title>
//	<output>{ p.Cart }</output>
//	@templ.Raw(p.Self)
//	<script type="module" src="/app.js"></script>
func byTempl(p page) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "<!doctype html><title>Cart</title><output>"+templ.EscapeString(p.Cart)+"</output>")
		if err == nil {
			err = templ.Raw(p.Self).Render(ctx, w)
		}
		if err == nil {
			_, err = io.WriteString(w, `<script type="module" src="/app.js"></script>`)
		}
		return err
	})
}

func main() {
	port := flag.String("port", "8080", "the `port` to listen on")
	folder := flag.String("package", "", "the `folder` of the npm package")
	flag.Parse()
	if err := run(*port, *folder); err != nil {
		log.Fatal(err)
	}
}

func run(port, folder string) error {
	temporary, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	file, err := sqlite.Open(filepath.Join(temporary, "sessions.db"), sqlite.Config{})
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	db := sqlstore.New(file, sqlstore.Limits{})
	if err := db.Create(context.Background()); err != nil {
		return err
	}
	sessions, err := server.New(server.Config{DB: db, Identify: identify, Combine: combine})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("/sessions/", sessions)
	mux.Handle("/session-writer/", http.StripPrefix("/session-writer/", http.FileServer(http.Dir(folder))))
	mux.Handle("/app.js", http.FileServerFS(files))
	show := func(render func(w io.Writer, p page) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			p, err := cart(sessions, w, r)
			if err != nil {
				sessions.Error(w, r, err)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'")
			if err := render(w, p); err != nil {
				log.Print(err)
			}
		}
	}
	mux.Handle("GET /template", show(func(w io.Writer, p page) error { return byTemplate.Execute(w, p) }))
	mux.Handle("GET /templ", show(func(w io.Writer, p page) error { return byTempl(p).Render(context.Background(), w) }))
	mux.HandleFunc("POST /buy", func(w http.ResponseWriter, r *http.Request) {
		cart, err := sessions.Open(w, r, "cart")
		if err == nil {
			err = cart.Save(r.Context(), maps.All(map[string]any{r.FormValue("what"): 1}))
		}
		if err != nil {
			sessions.Error(w, r, err)
		}
	})

	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		user := &http.Cookie{Name: "user", Value: r.FormValue("user"), Path: "/"} // a real one is signed
		signedIn := r.Clone(r.Context())
		signedIn.AddCookie(user)
		if err := sessions.Adopt(w, signedIn); err != nil && !errors.Is(err, session.ErrQuota) {
			sessions.Error(w, r, err)
			return
		}
		http.SetCookie(w, user)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.Logout(w, r); err != nil {
			sessions.Error(w, r, err)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "user", Path: "/", MaxAge: -1})
	})

	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	protection := http.NewCrossOriginProtection()
	return http.Serve(listener, protection.Handler(sessions.Wrap(mux)))
}

// identify returns the user who has signed in.
func identify(r *http.Request) (string, error) {
	user, err := r.Cookie("user")
	if err != nil {
		return "", nil // a visitor
	}
	return user.Value, nil
}

// combine adds up how many there are of something in a visitor's and a user's carts.
func combine(_, _ string, user, visitor json.RawMessage) (any, bool) {
	var a, b int
	if json.Unmarshal(user, &a) != nil || json.Unmarshal(visitor, &b) != nil {
		return nil, false // the later one stays
	}
	return a + b, true
}

// cart returns what a page shows of the visitor's cart.
func cart(sessions *server.Handler, w http.ResponseWriter, r *http.Request) (page, error) {
	cart, err := sessions.Open(w, r, "cart")
	if err != nil {
		return page{}, err
	}
	entries, err := cart.Load(r.Context())
	if err != nil {
		return page{}, err
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return page{}, err
	}
	self, err := sessions.Embed(w, r, "cart")
	return page{string(text), self}, err
}
