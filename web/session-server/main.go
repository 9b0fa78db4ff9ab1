//go:build !js

// The command session-server keeps copies of sessions, so that one session is the same
// on all of a user's devices. It also serves a page that shows what sessions are for, and
// what one holds: the session inspector.
//
//	session-server [-addr 127.0.0.1:8080] [-site web/dist] [-db web/sessions.db] [-max-size 4096]
//		[-origin ORIGIN] [-metrics ADDR] [-drain 0s] [-idle 0s] [-lifetime 0s] [-audit]
//		[-live=true] [-restored]
//	session-server -config FILE [-restored]
//	session-server -config-example
//	session-server -db web/sessions.db -backup FILE
//	session-server -db postgres://user:password@host/database ...
//
// It answers to this machine's own names, over http. Other machines reach it through a
// proxy that ends TLS and keeps the Host of what it passes on. Then -origin names the
// public origin, such as https://example.com.
//
// The copies are in a SQLite file, or in PostgreSQL, which any number of these servers may
// use at once. What was exchanged survives the end of the server, however that comes, and
// a power cut. With -backup it writes all that a file has into another one, while a server
// uses it, and ends. After the database was put back from a backup, start one server with
// -restored once, before others use it. Then devices send again what they exchanged since
// the backup.
//
// Browsers hear at once of what others change, by WebSockets. Servers on one PostgreSQL tell
// each other of it, and those that use one file do not: start these with -live=false, and
// pages ask every 30 seconds.
//
// A configuration file says what flags say, and the limits of package sqlstore. It is JSON:
// -config-example prints one. Beside -config, a flag that has a place in the file is
// refused, so that there is one place to look. The file is checked as a whole before
// anything is opened. Each problem is printed with its line, its path such as
// limits.entries, and what would be right.
//
// web/README.md has how to run it behind nginx, Caddy and systemd, and what it logs.
package main

import (
	"context"
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
	"strings"
	"syscall"
	"time"

	"github.com/session-interop/session-writer/web/metrics"
	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
)

// shutdownLimit is how long requests in progress may take after the signal.
const shutdownLimit = 5 * time.Second

// memoryLimit is the size above which the garbage collector works harder to take no more
// memory: 55 MB are those of defaultSockets. The environment variable GOMEMLIMIT overrides it.
const memoryLimit = 256 << 20

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
// line with the address to stdout, and one with that of the metrics.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	logger := log.New(stderr, "session-writer: ", 0)

	options, code, done := readOptions(args, stdout, stderr, logger)
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
	if options.backup != "" {
		return backUp(ctx, options.db, options.backup, logger)
	}
	config := server.Config{Origins: options.origins, ErrorLog: logger, Idle: options.idle, Lifetime: options.lifetime}
	if options.audit {
		config.Audit = audit(logger)
	}
	noSite := func(err error) int {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = ": run make build"
		}
		logger.Printf("site %s: %v%s", options.site, err, hint)
		return 1
	}
	// What is most often wrong with it is found before a database is made.
	if options.site != "" {
		config.Site = os.DirFS(options.site)
		if _, err := fs.Stat(config.Site, "index.html"); err != nil {
			return noSite(err)
		}
	}
	const choose = "choose another one with -db, or db in the configuration file"
	db, err := openDatabase(options.settings)
	if err != nil {
		logger.Printf("%v: %s", err, choose)
		return 1
	}
	defer func() { _ = db.sql.Close() }()
	config.DB = db.DB

	if options.restored {
		if err := db.check(ctx); err != nil {
			hint := ""
			if errors.Is(err, sqlite.ErrDamaged) {
				hint = ": put the backup back again, and delete the log of the former file, which is beside it"
			}
			logger.Printf("%s: %v%s", db.name, err, hint)
			return 1
		}
	}

	if err := db.Create(ctx); err != nil && ctx.Err() == nil {
		logger.Printf("%s: %v: %s", db.name, err, choose)
		return 1
	}

	if err := db.prepare(ctx); err != nil && ctx.Err() == nil {
		logger.Printf("%s: %v", db.name, err)
	}

	if options.restored {
		sessions, err := db.Restored(ctx)
		if err != nil {
			logger.Printf("%s: %v", db.name, err)
			return 1
		}
		logger.Printf("sessions of which is asked for again what the backup lacks: %d", sessions)
	}

	// From here on it listens to other servers.
	live, hangUp, err := openLive(options.settings, logger)
	if err != nil {
		logger.Print(err)
		return 1
	}
	defer hangUp()
	defer live.Close() // whatever keeps it from serving
	config.Live = live
	handler, err := server.New(config)
	if err != nil {
		return noSite(err)
	}

	listener, err := net.Listen("tcp", options.addr)
	if err != nil {
		logger.Printf("%v: choose another address with -addr, or addr in the configuration file", err)
		return 1
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		logger.Printf("warning: %s can be reached from other machines, without TLS or a password", listener.Addr())
	}
	open := &connections{most: maxConnections}
	listening := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          logger,
		ConnState:         open.changed,
	}
	serves := fmt.Sprintf("session-writer: http://%s\n", listener.Addr())
	if options.metrics != "" {
		measured, err := serveMetrics(options.metrics, logger, append(db.metrics(), metrics.Handler(handler), open)...)
		if err != nil {
			logger.Printf("%v: choose another address with -metrics, or metrics in the configuration file", err)
			return 1
		}
		defer func() { _ = measured.Close() }()
		serves += fmt.Sprintf("session-writer: http://%s/metrics\n", measured.Addr())
	}
	fmt.Fprint(stdout, serves)

	go pruneRegularly(ctx, db, logger)
	served := make(chan error, 1)
	go func() { served <- listening.Serve(listener) }()
	select {
	case err := <-served:
		logger.Print(err)
		return 1
	case <-ctx.Done():
	}

	handler.Drain()
	if options.drain > 0 {
		logger.Printf("told to end: serves on for %v, while /sessions/health fails", options.drain)
		time.Sleep(options.drain)
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	answered, told := make(chan struct{}), make(chan struct{})
	go func() {
		handler.Close()
		<-answered
		handler.Close() // what the last requests have changed
		close(told)
	}()
	if err := listening.Shutdown(limit); err != nil {
		logger.Printf("connections were still open after %v and are cut off", shutdownLimit)
		_ = listening.Close()
	}
	close(answered)
	select {
	case <-told:
	case <-limit.Done(): // somebody does not close his socket
	}
	return 0
}

// pruneRegularly prunes and shrinks the database every pruneInterval until ctx is done.
func pruneRegularly(ctx context.Context, db *database, logger *log.Logger) {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	for {
		err := db.Prune(ctx, time.Now())
		if err == nil {
			err = db.shrink(ctx)
		}
		if err != nil && ctx.Err() == nil {
			logger.Print(strings.ReplaceAll(err.Error(), "\n", "; ")) // of errors.Join
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
