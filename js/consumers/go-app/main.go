// Command go-app shows a session, and saves on demand. In a browser it is the app, and
// natively the server of it, on the port that it is given.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"

	"github.com/maxence-charriere/go-app/v10/pkg/app"
	session "github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/wasm/localstorage"
)

func main() {
	app.Route("/", func() app.Composer { return &cart{} })
	app.RunWhenOnBrowser()

	port := flag.Int("port", 8000, "to listen on")
	flag.Parse()
	// Otherwise it would be one that go-app has on a server of its own.
	icon := "/web/icon.svg"
	http.Handle("/", &app.Handler{Name: "Consumer", Icon: app.Icon{Default: icon, Large: icon, SVG: icon}})
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}

type cart struct {
	app.Compo
	session *session.Session
	text    string
}

func (c *cart) Render() app.UI { return app.Output().Text(c.text) }

func (c *cart) OnMount(ctx app.Context) {
	if err := c.open(ctx); err != nil {
		log.Fatal(err)
	}
}

func (c *cart) OnDismount() { c.session.Close() }

func (c *cart) open(ctx app.Context) error {
	storage, err := localstorage.Local()
	if err != nil {
		return err
	}
	c.session, err = session.Open(ctx, storage, "cart", session.Config{})
	if err != nil {
		return err
	}
	if _, err := c.session.Subscribe(func(session.Change) { ctx.Dispatch(c.show) }); err != nil {
		return err
	}
	c.show(ctx)
	app.Window().Set("session", map[string]any{
		"save": app.FuncOf(func(_ app.Value, args []app.Value) any {
			c.save(ctx, args[0])
			return nil
		}),
	})
	return nil
}

func (c *cart) show(ctx app.Context) {
	entries, err := c.session.Load(ctx)
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(entries)
	if err != nil {
		log.Fatal(err)
	}
	c.text = string(text)
}

func (c *cart) save(ctx app.Context, object app.Value) {
	text := app.Window().Get("JSON").Call("stringify", object).String()
	var entries map[string]any
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		log.Fatal(err)
	}
	if err := c.session.Save(ctx, maps.All(entries)); err != nil {
		log.Fatal(err)
	}
}
