//go:build !js

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/web/client"
)

// An administrator does what web/README.md says, on a machine whose folders are in one.
type administrator struct {
	folder string
}

// newAdministrator returns one on whose machine session-server is this test, and nothing
// runs that systemctl could stop or start.
func newAdministrator(t *testing.T) administrator {
	t.Helper()
	a := administrator{t.TempDir()}
	for _, folder := range []string{"bin", "backup", "etc/default", "etc/systemd/system", "usr/local/bin", "var/lib/session-server"} {
		if err := os.MkdirAll(filepath.Join(a.folder, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, does := range map[string]string{
		"session-server": `SESSION_WRITER_MAIN=1 exec '` + os.Args[0] + `' "$@"`,
		"systemctl":      `exit 0`,
	} {
		if err := os.WriteFile(filepath.Join(a.folder, "bin", name), []byte("#!/bin/sh\n"+does+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// path returns where a file of the README is on this machine.
func (a administrator) path(name string) string { return filepath.Join(a.folder, name) }

// does runs the snippet of the README that has a text, which one alone has.
func (a administrator) does(t *testing.T, has string) {
	t.Helper()
	var found []string
	for _, snippet := range regexp.MustCompile("(?s)```shell\n(.*?)```").FindAllStringSubmatch(readme(t), -1) {
		if strings.Contains(snippet[1], has) {
			found = append(found, snippet[1])
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d snippets of web/README.md have %q", len(found), has)
	}
	script := regexp.MustCompile(`/(var|etc|usr|backup)\b`).ReplaceAllString(found[0], a.folder+"/$1")
	command := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
	command.Dir = a.folder
	command.Env = append(os.Environ(), "PATH="+a.path("bin")+":"+os.Getenv("PATH"))
	if says, err := command.CombinedOutput(); err != nil || len(says) > 0 {
		t.Fatalf("%v: %s, of\n%s", err, says, script)
	}
}

// A device keeps a session, and knows what it has saved.
type device struct {
	*session.Session
	browser *http.Client
	name    string
	saved   int // batches
}

func newDevice(t *testing.T, browser *http.Client, name string) *device {
	t.Helper()
	return &device{openPage(t), browser, name, 0}
}

// save saves one more batch, which has two entries.
func (d *device) save(ctx context.Context) error {
	a, b := d.keys(d.saved)
	if err := d.Save(ctx, maps.All(map[string]any{a: d.saved, b: d.saved})); err != nil {
		return err
	}
	d.saved++
	return nil
}

func (d *device) keys(batch int) (a, b string) {
	return fmt.Sprint(d.name, "/", batch, "/a"), fmt.Sprint(d.name, "/", batch, "/b")
}

// sync exchanges with the server at a URL, again as long as that is busy.
func (d *device) sync(ctx context.Context, url string) error {
	err := client.ErrBusy
	for errors.Is(err, client.ErrBusy) {
		err = d.Sync(ctx, client.New(d.browser, url+"/sessions/")("cart"))
	}
	return err
}

// missing returns how many batches of the device are not in a session as a whole.
func (d *device) missing(entries map[string]json.RawMessage) (n int) {
	for batch := range d.saved {
		a, b := d.keys(batch)
		if string(entries[a]) != fmt.Sprint(batch) || string(entries[b]) != fmt.Sprint(batch) {
			n++
		}
	}
	return n
}

// atServer returns what the server at a URL has of a browser's session.
func atServer(t *testing.T, browser *http.Client, url string) map[string]json.RawMessage {
	t.Helper()
	fresh := newDevice(t, browser, "")
	if err := fresh.sync(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	entries, err := fresh.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: new(http.Transport)}
	t.Cleanup(browser.CloseIdleConnections)
	return browser
}

// What was exchanged after a backup comes back from the devices, and what they have
// lost from the backup.
func TestABackupUnderLoadIsPutBack(t *testing.T) {
	const devices, enough = 4, 50
	admin := newAdministrator(t)
	db := admin.path("/var/lib/session-server/sessions.db")
	server, url := startCommand(t, db)

	browser := newBrowser(t)
	lost := newDevice(t, browser, "lost") // before the backup is put back
	if err := errors.Join(lost.save(t.Context()), lost.sync(t.Context(), url)); err != nil {
		t.Fatal(err)
	}
	all := make([]*device, devices)
	for i := range all {
		all[i] = newDevice(t, browser, fmt.Sprint(i))
	}
	var exchanges atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	ended := make(chan struct{})
	for _, d := range all {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := errors.Join(d.save(t.Context()), d.sync(t.Context(), url)); err != nil {
					t.Error(err)
					return
				}
				exchanges.Add(1)
			}
		})
	}
	go func() {
		load.Wait()
		close(ended)
	}()
	more := func() {
		for until := exchanges.Load() + enough; exchanges.Load() < until; {
			select {
			case <-ended:
				t.Fatal("nobody exchanges any more")
			case <-time.After(time.Millisecond):
			}
		}
	}
	more()
	admin.does(t, "-backup")
	more()
	visitor := newBrowser(t)
	late := newDevice(t, visitor, "late") // of whom the backup does not know
	if err := errors.Join(late.save(t.Context()), late.sync(t.Context(), url)); err != nil {
		t.Fatal(err)
	}
	close(stop)
	<-ended
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	if info, err := os.Stat(db + "-wal"); err != nil || info.Size() == 0 {
		t.Errorf("the killed server has left no log: %v", err)
	}
	if info, err := os.Stat(admin.path("/backup/sessions.db")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the backup is %v, %v, want that it is for its user alone", info.Mode(), err)
	}

	// systemd starts the server with the OPTIONS that it finds, and afterwards there
	// are none.
	file := admin.path("/etc/default/session-server")
	started := admin.path("started")
	if err := os.WriteFile(admin.path("bin/systemctl"), []byte("#!/bin/sh\ntest $1 = stop || cp "+file+" "+started+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("ORIGIN=https://example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	admin.does(t, "-restored")
	if options, err := os.ReadFile(started); err != nil || string(options) != "ORIGIN=https://example.com\nOPTIONS=-restored\n" {
		t.Errorf("it starts with %q, %v", options, err)
	}
	if options, err := os.ReadFile(file); err != nil || string(options) != "ORIGIN=https://example.com\n" {
		t.Errorf("it would start again with %q, %v", options, err)
	}
	_, lines := startWith(t, "-addr", "127.0.0.1:0", "-site", "", "-db", db, "-restored")
	url = nextURL(t, lines)

	missing := 0
	had := atServer(t, browser, url)
	for _, d := range all {
		missing += d.missing(had)
	}
	if missing < enough || lost.missing(had) != 0 {
		t.Errorf("the backup lacks %d batches, want at least %d, and %d of before it, want 0", missing, enough, lost.missing(had))
	}
	// Without -restored, a device would believe that the server has what it once sent, as
	// soon as others have brought the session to a version that the device knows of.
	next := newDevice(t, browser, "next")
	for range missing + 10 {
		if err := errors.Join(next.save(t.Context()), next.sync(t.Context(), url)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range append(all, late) {
		if err := d.sync(t.Context(), url); err != nil {
			t.Error(err)
		}
	}
	got := atServer(t, browser, url)
	for _, d := range append(all, lost, next) {
		if n := d.missing(got); n > 0 {
			t.Errorf("of device %s %d of %d batches are missing", d.name, n, d.saved)
		}
	}
	if n := late.missing(atServer(t, visitor, url)); n > 0 {
		t.Errorf("of who came after the backup %d of %d batches are missing", n, late.saved)
	}
}
