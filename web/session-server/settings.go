//go:build !js

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/session-interop/session-writer/web/postgresql"
	"github.com/session-interop/session-writer/web/server"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// The settings are what flags or a configuration file say.
type settings struct {
	addr    string
	origins []string
	site    string
	db      string
	// maxSize is in MiB, or 0 for no limit.
	maxSize int64
	// metrics is an address, or empty for no metrics.
	metrics string
	drain   time.Duration
	// idle and lifetime are those of server.Config, 0 for its default.
	idle, lifetime time.Duration
	audit          bool
	live           bool
	limits         sqlstore.Limits
	// sockets is how many there are at most, beside maxConnections. It is among the limits.
	sockets int
}

// options are the settings, and what is to be done with them.
type options struct {
	settings
	backup   string
	restored bool
	example  bool
}

// inFile are the members of a configuration file that flags say, too.
var inFile = map[string]string{"addr": "addr", "origin": "origins", "site": "site", "db": "db", "max-size": "maxSize", "metrics": "metrics", "drain": "drain", "idle": "idle", "lifetime": "lifetime", "audit": "audit", "live": "live"}

// readOptions reads the arguments of the command, and checks all of them. If the command
// is to end, done is true, and code is the exit code.
func readOptions(args []string, stdout, stderr io.Writer, logger *log.Logger) (o options, code int, done bool) {
	o.settings = defaultSettings()
	flags := flag.NewFlagSet("session-writer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {} // printed below, where it is asked for
	flags.StringVar(&o.addr, "addr", o.addr, "the `host:port` to listen on; port 0 takes a free one\n")
	flags.StringVar(&o.site, "site", o.site, "the `folder` of the page, as make build leaves it; '' for no page\n")
	flags.StringVar(&o.db, "db", o.db, "the SQLite `file` of the sessions, which is made if it is missing, or a\nURL: sqlite:///srv/sessions.db, or of PostgreSQL\npostgres://user:password@host/database")
	flags.Int64Var(&o.maxSize, "max-size", o.maxSize, "how large that file may grow, in `MiB`; 0 for no limit")
	flags.Func("origin", "a public `origin`, such as https://example.com, by which browsers know the\nserver behind a proxy; may be given again", func(origin string) error {
		o.origins = append(o.origins, origin)
		return server.CheckOrigin(origin)
	})
	flags.StringVar(&o.metrics, "metrics", o.metrics, "the `host:port` on which to serve /metrics, for Prometheus, to whoever\ncan reach it; without it nobody gets them")
	flags.DurationVar(&o.drain, "drain", o.drain, "for how long, such as 10s, to serve on after SIGTERM while\n/sessions/health fails, so that load balancers notice")
	flags.DurationVar(&o.idle, "idle", o.idle, "how long a browser has access that does not come, such as 720h; 0 for\n400 days")
	flags.DurationVar(&o.lifetime, "lifetime", o.lifetime, "how long after it was added any browser has access; 0 for no limit")
	flags.BoolVar(&o.audit, "audit", o.audit, "log whose browsers are added, join, are revoked or refused")
	flags.BoolVar(&o.live, "live", o.live, "tell browsers at once of what changes, by WebSockets; with -live=false\npages ask every 30 s")
	flags.StringVar(&o.backup, "backup", "", "write all that -db has into a new `file`, and end")
	flags.BoolVar(&o.restored, "restored", false, "have devices send again what the database lacks: for the first start\nafter its file was put back from a backup")
	config := flags.String("config", "", "a JSON `file` with what the other flags say, but -backup and -restored,\nand with the limits")
	flags.BoolVar(&o.example, "config-example", false, "print such a file, which says what the other flags say, or the defaults")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		printUsage(stdout, flags)
		return o, 0, true
	case err != nil: // flags has said which
		logger.Print("session-server -h lists the flags")
		return o, 2, true
	case flags.NArg() > 0:
		logger.Printf("unexpected argument %q", flags.Arg(0))
		return o, 2, true
	}
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var problems []string
	if given["config"] {
		problems = o.readFile(*config, given)
	} else {
		problems = o.checkFlags()
		if given["max-size"] && isPostgreSQL(o.db) {
			problems = append(problems, fmt.Sprintf("-max-size: %v", errNoMaxSize))
		}
	}
	for _, problem := range problems {
		logger.Print(problem)
	}
	return o, 2, len(problems) > 0
}

// checkFlags returns what is wrong with the settings that flags have said.
func (s *settings) checkFlags() (problems []string) {
	for _, f := range []struct {
		name string
		err  error
	}{
		{"addr", checkAddr(s.addr)},
		{"db", checkDB(s.db)},
		{"metrics", checkMetrics(s.metrics)},
		{"drain", checkTime(s.drain)},
		{"idle", checkTime(s.idle)},
		{"lifetime", checkTime(s.lifetime)},
	} {
		if f.err != nil {
			problems = append(problems, fmt.Sprintf("-%s: %v", f.name, f.err))
		}
	}
	if s.maxSize < 0 || s.maxSize > maxMiB {
		problems = append(problems, fmt.Sprintf("-max-size %d: it must be a number of MiB, or 0 for no limit", s.maxSize))
	}
	return problems
}

// readFile reads a configuration file, beside which flags were given, and returns what is
// wrong with either.
func (s *settings) readFile(path string, given map[string]bool) (problems []string) {
	for _, flag := range slices.Sorted(maps.Keys(inFile)) {
		if given[flag] {
			problems = append(problems, fmt.Sprintf("-%s: beside -config, this is said by the file, in its member %s", flag, inFile[flag]))
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return append(problems, fmt.Sprintf("-config: %v", err))
	}
	for _, p := range readConfig(file, s.file()) {
		problems = append(problems, path+":"+p.String())
	}
	if isPostgreSQL(s.db) && s.maxSize != defaultSettings().maxSize {
		problems = append(problems, path+": maxSize: "+errNoMaxSize.Error())
	}
	return problems
}

func defaultSettings() settings {
	return settings{
		addr:    "127.0.0.1:8080",
		site:    "web/dist",
		db:      "web/sessions.db",
		maxSize: 4096,
		live:    true,
		limits:  sqlstore.DefaultLimits(),
		sockets: defaultSockets,
	}
}

// defaultSockets is how many sockets there are at most. Each takes some 11 KB, and up to 32 KB of
// the system's while its client does not read.
const defaultSockets = 5000

// The most that some limits can be. What pages and package client read of an answer has 16
// MiB, and is all of a session: maxBytes, and for each of maxEntries a stamp. Bodies wait in
// memory for their turn, and SQLite takes what is saved at once as one value, of up to 1 GB.
const (
	maxBytes   = 8 << 20
	maxEntries = 100_000
	maxBody    = 64 << 20
	maxMiB     = math.MaxInt64 >> 20
)

// file returns the members of a configuration file.
func (s *settings) file() object {
	l := &s.limits
	return object{
		{"addr", text{&s.addr, checkAddr}},
		{"origins", texts{&s.origins, server.CheckOrigin}},
		{"site", text{&s.site, func(string) error { return nil }}},
		{"db", text{&s.db, checkDB}},
		{"maxSize", number[int64]{&s.maxSize, 0, maxMiB}},
		{"metrics", text{&s.metrics, checkMetrics}},
		{"drain", duration{&s.drain, checkTime}},
		{"idle", duration{&s.idle, checkTime}},
		{"lifetime", duration{&s.lifetime, checkTime}},
		{"audit", truth{&s.audit}},
		{"live", truth{&s.live}},
		{"limits", object{
			{"body", number[int]{&l.Body, 1, maxBody}},
			{"batch", number[int]{&l.Batch, 1, maxBody}},
			{"key", number[int]{&l.Key, 1, maxBytes}},
			{"entries", number[int]{&l.Entries, 1, maxEntries}},
			{"bytes", number[int]{&l.Bytes, 1, maxBytes}},
			{"sessions", number[int]{&l.Sessions, 1, math.MaxInt32}},
			{"codes", number[int]{&l.Codes, 1, math.MaxInt32}},
			{"devices", number[int]{&l.Devices, 1, math.MaxInt32}},
			{"owners", number[int]{&l.Owners, 1, math.MaxInt32}},
			{"waiting", number[int]{&l.Waiting, 1, math.MaxInt32}},
			{"sockets", number[int]{&s.sockets, 1, math.MaxInt32}},
		}},
	}
}

func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return fmt.Errorf("it is %q, must be like 127.0.0.1:8080, or :8080 for every address of this machine", addr)
	}
	return nil
}

// checkMetrics takes an empty address for no metrics.
func checkMetrics(addr string) error {
	if addr == "" {
		return nil
	}
	return checkAddr(addr)
}

func checkTime(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("it is %v, must not be negative", d)
	}
	return nil
}

func checkDB(db string) error {
	if isPostgreSQL(db) {
		return postgresql.Check(db)
	}
	_, err := databasePath(db)
	return err
}

// errNoMaxSize refuses the size of a file where there is none.
var errNoMaxSize = errors.New("it limits a SQLite file, and PostgreSQL has no such limit: leave it out, and limit the volume that PostgreSQL is on")

// databasePath returns the path of the database, which is a path or a URL of session.OpenURL
// without its parameters. The error does not repeat it: the URL of another database may have
// a password.
func databasePath(db string) (path string, err error) {
	const right = "it must be the path of a SQLite file, or a URL like sqlite:///var/lib/sessions.db or postgres://user:password@host/database"
	scheme, _, isURL := strings.Cut(db, "://")
	switch {
	case db == "":
		return "", errors.New("it is empty: " + right)
	case !strings.HasPrefix(strings.ToLower(db), "sqlite:"):
		if isURL && !strings.ContainsAny(scheme, "/.") {
			return "", errors.New("it is a URL of another scheme: " + right)
		}
		return db, nil
	}
	u, err := url.Parse(db)
	switch {
	case err != nil:
		return "", errors.New("it is no URL: " + right)
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("it has parameters, which name one session, or a # that is not written %23: " + right)
	}
	return sqlite.PathOf(u)
}
