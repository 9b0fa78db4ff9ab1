//go:build !js

// The command session-server keeps copies of sessions, so that one session is the same
// on all of a user's devices. It also serves a page that shows what sessions are for, and
// what one holds: the session inspector.
//
//	session-server [-addr 127.0.0.1:8080] [-site web/dist] [-db web/sessions.db] [-max-size 4096]
//		[-origin ORIGIN] [-restored]
//	session-server -db postgres://user:password@host/database [-addr 127.0.0.1:8080] [-site web/dist]
//		[-origin ORIGIN] [-restored]
//
// It answers to this machine's own names, over http. Other machines reach it through a
// proxy that ends TLS and keeps the Host of what it passes on. Then -origin names the
// public origin, such as https://example.com.
//
// The copies are in a SQLite file, or in PostgreSQL, which any number of these servers may
// use at once. What was exchanged survives the end of the server, however that comes, and
// a power cut. After the database was put back from a backup, start one server with
// -restored once, before others use it. Then devices send again what they exchanged since
// the backup.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/session-interop/session-writer/web/server"
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

	flags := flag.NewFlagSet("session-writer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "the `host:port` to listen on; port 0 takes a free one")
	folder := flags.String("site", "web/dist", "the `folder` of the site, as make build leaves it")
	address := flags.String("db", "web/sessions.db", "the SQLite `file` of the sessions, which is made when it is missing; or postgres://user:password@host/database")
	maxSize := flags.Int64("max-size", 4096, "how large the file may be, in `MiB`; 0 for as large as the disk; PostgreSQL has no such limit")
	var origins []string
	flags.Func("origin", "a public `origin` of the server, such as https://example.com, when something passes requests on to it; it may be given several times", func(origin string) error {
		origins = append(origins, origin)
		return server.CheckOrigin(origin)
	})
	restored := flags.Bool("restored", false, "have all send again what is missing, after the database was put back from a backup")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // flags has said why
	case flags.NArg() > 0:
		logger.Printf("unexpected argument %q", flags.Arg(0))
		return 2
	case *maxSize < 0 || *maxSize > math.MaxInt64>>20:
		logger.Printf("-max-size %d: it must be a number of MiB, or 0 for no limit", *maxSize)
		return 2
	case isURL(*address) && isSet(flags, "max-size"):
		logger.Print("-max-size limits a SQLite file, and PostgreSQL has no such limit: leave it out, and limit the volume that PostgreSQL is on")
		return 2
	}

	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	db, err := openDatabase(*address, *maxSize<<20)
	if err != nil {
		logger.Printf("%v: choose another one with -db", err)
		return 1
	}
	defer func() { _ = db.sql.Close() }()
	handler, err := server.New(server.Config{DB: db.DB, Site: os.DirFS(*folder), Origins: origins, ErrorLog: logger})
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = ": run make build"
		}
		logger.Printf("site %s: %v%s", *folder, err, hint)
		return 1
	}

	if err := db.Create(ctx); err != nil && ctx.Err() == nil {
		logger.Printf("%s: %v: choose another one with -db", db.name, err)
		return 1
	}

	if err := db.prepare(ctx); err != nil && ctx.Err() == nil {
		logger.Printf("%s: %v", db.name, err)
	}

	if *restored {
		sessions, err := db.Restored(ctx)
		if err != nil {
			logger.Printf("%s: %v", db.name, err)
			return 1
		}
		logger.Printf("sessions of which is asked for again what the backup lacks: %d", sessions)
	}

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		logger.Printf("%v: choose another address with -addr", err)
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

	go pruneRegularly(ctx, db, logger)
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

// isSet reports whether a flag was given.
func isSet(flags *flag.FlagSet, name string) (set bool) {
	flags.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
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
			logger.Print(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
