//go:build !js

// The command web serves the session inspector, a page that shows what a
// session saved with session-writer holds.
//
//	web [-addr 127.0.0.1:8080] [-site web/dist]
//
// The sessions are in the browser. The server hands out files and learns
// nothing of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// shutdownLimit is how long requests in progress may take after the signal.
const shutdownLimit = 5 * time.Second

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		// From now on the default handling is back: a second signal kills.
		signal.Stop(signals)
		cancel()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run serves until ctx is done and returns the exit code. It prints one line
// to stdout, the address, once it listens.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	logger := log.New(stderr, "session-writer: ", 0)

	flags := flag.NewFlagSet("session-writer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:8080", "the `host:port` to listen on; port 0 takes a free one")
	folder := flags.String("site", "web/dist", "the `folder` of the site, as make build leaves it")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // flags has said why
	case flags.NArg() > 0:
		logger.Printf("unexpected argument %q", flags.Arg(0))
		return 2
	}

	site, err := newSite(os.DirFS(*folder))
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = ": run make build"
		}
		logger.Printf("site %s: %v%s", *folder, err, hint)
		return 1
	}

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		logger.Printf("%v: choose another address with -addr", err)
		return 1
	}
	handler := site
	if tcp, ok := listener.Addr().(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		handler = loopbackHostsOnly(site)
	} else {
		logger.Printf("warning: %s can be reached from other machines, without TLS or a password", listener.Addr())
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          logger,
	}
	fmt.Fprintf(stdout, "session-writer: http://%s\n", listener.Addr())

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		logger.Print(err)
		return 1
	case <-ctx.Done():
	}

	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		logger.Printf("connections were still open after %v and are cut off", shutdownLimit)
		_ = server.Close()
	}
	return 0
}

// loopbackHostsOnly refuses requests for a host other than this machine. A
// hostile page can point its own name at 127.0.0.1 (DNS rebinding) and would
// then be of one origin with what is served here; its name gives it away.
func loopbackHostsOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopbackHost(r.Host) {
			setDefaultHeaders(w.Header())
			http.Error(w, "this server answers to localhost, 127.0.0.1 and [::1] only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopbackHost reports whether a Host field, with or without a port, names
// localhost or a loopback address. The port may be another than the server's:
// it is, behind a tunnel.
func isLoopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.EqualFold(name, "localhost") || net.ParseIP(name).IsLoopback()
}
