//go:build !js

// The command session-server keeps copies of sessions, so that one session is the same
// on all of a user's devices. It also serves a page that shows what sessions are for, and
// what one holds: the session inspector.
//
//	session-server [-addr 127.0.0.1:8080] [-site web/dist] [-db web/sessions.db] [-max-size 4096]
//		[-origin ORIGIN] [-metrics ADDR] [-drain 0s] [-restored]
//	session-server -db web/sessions.db -backup FILE
//
// It answers to this machine's own names, over http. Other machines reach it through a
// proxy that ends TLS and keeps the Host of what it passes on. Then -origin names the
// public origin, such as https://example.com.
//
// The copies are in a SQLite file. What was exchanged survives the end of the server,
// however that comes, and a power cut. With -backup it writes all that the file has into
// another one, while a server uses it, and ends. After the file was put back from a
// backup, start the server with -restored once. Then devices send again what they
// exchanged since the backup.
//
// web/README.md has how to run it behind nginx, Caddy and systemd, and what it logs.
package main

import (
	"context"
	"database/sql"
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
	"strings"
	"syscall"
	"time"

	"github.com/session-interop/session-writer/web/metrics"
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
// line with the address to stdout, and one with that of the metrics.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	logger := log.New(stderr, "session-writer: ", 0)

	flags := flag.NewFlagSet("session-writer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {} // printed below, where it is asked for
	addr := flags.String("addr", "127.0.0.1:8080", "the `host:port` to listen on; port 0 takes a free one\n")
	folder := flags.String("site", "web/dist", "the `folder` of the page, as make build leaves it; '' for no page\n")
	file := flags.String("db", "web/sessions.db", "the SQLite `file` of the sessions; it is made if it is missing\n")
	maxSize := flags.Int64("max-size", 4096, "how large that file may grow, in `MiB`; 0 for no limit")
	var origins []string
	flags.Func("origin", "a public `origin`, such as https://example.com, by which browsers know the\nserver behind a proxy; may be given again", func(origin string) error {
		origins = append(origins, origin)
		return server.CheckOrigin(origin)
	})
	metricsAddr := flags.String("metrics", "", "the `host:port` on which to serve /metrics, for Prometheus, to whoever\ncan reach it; without it nobody gets them")
	drain := flags.Duration("drain", 0, "for how long, such as 10s, to serve on after SIGTERM while\n/sessions/health fails, so that load balancers notice")
	backup := flags.String("backup", "", "write all that -db has into a new `file`, and end")
	restored := flags.Bool("restored", false, "have devices send again what the database lacks: for the first start\nafter its file was put back from a backup")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		printUsage(stdout, flags)
		return 0
	case err != nil: // flags has said which
		logger.Print("session-server -h lists the flags")
		return 2
	case flags.NArg() > 0:
		logger.Printf("unexpected argument %q", flags.Arg(0))
		return 2
	case *maxSize < 0 || *maxSize > math.MaxInt64>>20:
		logger.Printf("-max-size %d: it must be a number of MiB, or 0 for no limit", *maxSize)
		return 2
	case *drain < 0:
		logger.Printf("-drain %v: it must not be negative", *drain)
		return 2
	case *backup != "":
		return backUp(ctx, *file, *backup, logger)
	}

	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	db, err := sqlite.Open(*file, sqlite.Config{MaxBytes: *maxSize << 20})
	if err != nil {
		logger.Printf("database %s: %v: choose another file with -db", *file, err)
		return 1
	}
	defer func() { _ = db.Close() }()
	copies := sqlstore.New(db, sqlstore.Limits{})
	config := server.Config{DB: copies, Origins: origins, ErrorLog: logger}
	if *folder != "" {
		config.Site = os.DirFS(*folder)
	}
	handler, err := server.New(config)
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = ": run make build"
		}
		logger.Printf("site %s: %v%s", *folder, err, hint)
		return 1
	}

	if *restored {
		if err := sqlite.Check(ctx, db); err != nil {
			hint := ""
			if errors.Is(err, sqlite.ErrDamaged) {
				hint = ": put the backup back again, and delete the log of the former file, which is beside it"
			}
			logger.Printf("database %s: %v%s", *file, err, hint)
			return 1
		}
	}

	if err := copies.Create(ctx); err != nil && ctx.Err() == nil {
		logger.Printf("database %s: %v: choose another file with -db", *file, err)
		return 1
	}

	if err := sqlite.Prepare(ctx, db); err != nil && ctx.Err() == nil {
		logger.Printf("database %s: %v", *file, err)
	}

	if *restored {
		sessions, err := copies.Restored(ctx)
		if err != nil {
			logger.Printf("database %s: %v", *file, err)
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
	if *metricsAddr != "" {
		measured, err := serveMetrics(*metricsAddr, logger, metrics.Handler(handler), metrics.SQLite(db), open)
		if err != nil {
			logger.Printf("%v: choose another address with -metrics", err)
			return 1
		}
		defer func() { _ = measured.Close() }()
		serves += fmt.Sprintf("session-writer: http://%s/metrics\n", measured.Addr())
	}
	fmt.Fprint(stdout, serves)

	go pruneRegularly(ctx, db, copies, logger)
	served := make(chan error, 1)
	go func() { served <- listening.Serve(listener) }()
	select {
	case err := <-served:
		logger.Print(err)
		return 1
	case <-ctx.Done():
	}

	handler.Drain()
	if *drain > 0 {
		logger.Printf("told to end: serves on for %v, while /sessions/health fails", *drain)
		time.Sleep(*drain)
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
			logger.Print(strings.ReplaceAll(err.Error(), "\n", "; ")) // of errors.Join
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
