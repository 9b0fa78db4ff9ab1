//go:build !js

// The command session-server keeps copies of sessions, so that one session is the same
// on all of a user's devices. It also serves a page that shows what sessions are for, and
// what one holds: the session inspector.
//
//	session-server [-addr 127.0.0.1:8080] [-site web/dist] [-db web/sessions.db] [-max-size 4096]
//		[-origin ORIGIN] [-restored]
//	session-server -config FILE [-restored]
//	session-server -config-example
//
// It answers to this machine's own names, over http. Other machines reach it through a
// proxy that ends TLS and keeps the Host of what it passes on. Then -origin names the
// public origin, such as https://example.com.
//
// The copies are in a SQLite file. What was exchanged survives the end of the server,
// however that comes, and a power cut. After the file was put back from a backup, start
// the server with -restored once. Then devices send again what they exchanged since
// the backup.
//
// A configuration file says what flags say, and the limits of package sqlstore. It is JSON:
// -config-example prints one. Beside -config, a flag that has a place in the file is
// refused, so that there is one place to look. The file is checked as a whole before
// anything is opened. Each problem is printed with its line, its path such as
// limits.entries, and what would be right.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// shutdownLimit is how long requests in progress may take after the signal.
const shutdownLimit = 5 * time.Second

// memoryLimit is the size above which the garbage collector works harder to take no more
// memory. The environment variable GOMEMLIMIT overrides it.
const memoryLimit = 160 << 20

// pruneInterval is how often the database is pruned.
const pruneInterval = time.Hour

func main() {
	os.Exit(run(untilSignal(), os.Args[1:], os.Stdout, os.Stderr))
}

// untilSignal returns a context that is done after a first signal to end. A second signal
// ends the process at once.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		// This restores the default handling, so a second signal kills.
		signal.Stop(signals)
		cancel()
	}()
	return ctx
}

// run serves until ctx is done, and returns the exit code. Once it listens, it prints one
// line with the address to stdout.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	logger := log.New(stderr, "session-writer: ", 0)

	options, code, done := readOptions(args, stderr, logger)
	if done {
		return code
	}
	if options.example {
		if err := writeConfig(stdout, options.file()); err != nil {
			logger.Print(err)
			return 1
		}
		return 0
	}

	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	file, err := databasePath(options.db)
	if err != nil {
		logger.Printf("database: %v", err)
		return 1
	}
	site := os.DirFS(options.site)
	noSite := func(err error) int {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = ": run make build"
		}
		logger.Printf("site %s: %v%s", options.site, err, hint)
		return 1
	}
	// What is most often wrong with it is found before a database is made.
	if _, err := fs.Stat(site, "index.html"); err != nil {
		return noSite(err)
	}
	db, err := sqlite.Open(file, sqlite.Config{MaxBytes: options.maxSize << 20})
	if err != nil {
		logger.Printf("database %s: %v: choose another file with -db, or db in the configuration file", file, err)
		return 1
	}
	defer func() { _ = db.Close() }()
	copies := sqlstore.New(db, options.limits)
	handler, err := server.New(server.Config{DB: copies, Site: site, Origins: options.origins, ErrorLog: logger})
	if err != nil {
		return noSite(err)
	}

	if err := copies.Create(ctx); err != nil && ctx.Err() == nil {
		logger.Printf("database %s: %v: choose another file with -db, or db in the configuration file", file, err)
		return 1
	}

	if err := sqlite.Prepare(ctx, db); err != nil && ctx.Err() == nil {
		logger.Printf("database %s: %v", file, err)
	}

	if options.restored {
		sessions, err := copies.Restored(ctx)
		if err != nil {
			logger.Printf("database %s: %v", file, err)
			return 1
		}
		logger.Printf("sessions of which is asked for again what the backup lacks: %d", sessions)
	}

	listener, err := net.Listen("tcp", options.addr)
	if err != nil {
		logger.Printf("%v: choose another address with -addr, or addr in the configuration file", err)
		return 1
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		logger.Printf("warning: %s can be reached from other machines, without TLS or a password", listener.Addr())
	}
	listening := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          logger,
		ConnState:         (&connections{most: maxConnections}).changed,
	}
	fmt.Fprintf(stdout, "session-writer: http://%s\n", listener.Addr())

	go pruneRegularly(ctx, db, copies, logger)
	served := make(chan error, 1)
	go func() { served <- listening.Serve(listener) }()
	select {
	case err := <-served:
		logger.Print(err)
		return 1
	case <-ctx.Done():
	}

	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	if err := listening.Shutdown(limit); err != nil {
		logger.Printf("connections were still open after %v and are cut off", shutdownLimit)
		_ = listening.Close()
	}
	return 0
}

// pruneRegularly prunes and shrinks the database every pruneInterval until ctx is done.
func pruneRegularly(ctx context.Context, db *sql.DB, copies *sqlstore.DB, logger *log.Logger) {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	for {
		err := copies.Prune(ctx, time.Now())
		if err == nil {
			err = sqlite.Shrink(ctx, db, copies.InTurn)
		}
		if err != nil && ctx.Err() == nil {
			logger.Print(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
