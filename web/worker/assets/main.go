// The command assets lays the site out for the static assets of a Cloudflare
// Worker.
//
//	assets SITE ASSETS
//
// It copies the folder SITE, as make build leaves it, into the new folder
// ASSETS, without the compressed forms, since Cloudflare compresses by itself,
// and with a file _headers.
package main

import (
	"fmt"
	"io/fs"
	"log"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/session-interop/session-writer/web/server"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: assets SITE ASSETS")
	}
	if err := layOut(os.DirFS(os.Args[1]), os.Args[2]); err != nil {
		log.Fatal("assets: ", err)
	}
}

func layOut(site fs.FS, assets string) error {
	if _, err := fs.Stat(site, "index.html"); err != nil {
		return fmt.Errorf("%w: run make build", err)
	}
	err := fs.WalkDir(site, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) == ".br" || path.Ext(name) == ".gz" {
			return err
		}
		to := filepath.Join(assets, filepath.FromSlash(name))
		if entry.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		content, err := fs.ReadFile(site, name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o644)
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(assets, "_headers"), headers(), 0o644)
}

// headers returns the rules for what every response bears. Which may be stored
// and for how long is left to Cloudflare, who revalidates each file.
func headers() []byte {
	header := http.Header{}
	server.SetDefaultHeaders(header)
	header.Del("Cache-Control")
	rules := []byte("/*\n")
	for _, name := range slices.Sorted(maps.Keys(header)) {
		rules = fmt.Appendf(rules, "  %s: %s\n", name, header.Get(name))
	}
	return rules
}
