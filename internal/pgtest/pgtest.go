//go:build !js

// Package pgtest runs PostgreSQL for tests, from the Debian package that make test-go
// installs. Servers listen on a socket in a temporary folder, and nowhere else.
package pgtest

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
)

// startLimit is how long a server may take to answer. After a kill it recovers first.
const startLimit = time.Minute

// A Server is a PostgreSQL server that a test can kill.
type Server struct {
	t       testing.TB
	folder  string
	account *syscall.Credential
	process *os.Process
	ended   context.Context // done when the process has ended
}

// Start starts a server whose commits survive a kill. It ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t}
	var err error
	if s.account, err = account(); err == nil {
		s.folder, err = cluster(s.account)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.folder) })
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}

// URL returns the URL of the server's database.
func (s *Server) URL() string { return urlIn(s.folder, nil) }

// Kill kills the server with SIGKILL, if it runs. Its processes that serve connections
// notice that, and end by themselves.
func (s *Server) Kill() {
	if s.process != nil {
		_ = s.process.Kill()
		<-s.ended.Done()
	}
}

// Restart starts the server after Kill, and waits until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	// It does not start before the processes of the former one have ended.
	for until := time.Now().Add(startLimit); ; time.Sleep(20 * time.Millisecond) {
		command := server(s.account, s.folder)
		if err := command.Start(); err != nil {
			s.t.Fatal(err)
		}
		ended, end := context.WithCancelCause(context.Background())
		go func() { end(fmt.Errorf("postgres has ended: %v", command.Wait())) }()
		s.process, s.ended = command.Process, ended
		err := answers(ended, s.folder)
		if err == nil {
			return
		}
		if time.Now().After(until) {
			s.t.Fatal(err)
		}
	}
}

// A sharedServer is that of all tests in a process.
type sharedServer struct {
	folder string
	db     *sql.DB
	// stdin is a pipe to what ends the server. It is closed with the process.
	stdin io.Closer
	made  atomic.Int64
}

var shared = sync.OnceValues(func() (*sharedServer, error) {
	account, err := account()
	if err != nil {
		return nil, err
	}
	s := new(sharedServer)
	if s.folder, err = cluster(account); err != nil {
		return nil, err
	}
	// The shell ends the server when this process has ended, however that comes.
	postgres := server(account, s.folder, "-c", "fsync=off", "-c", "full_page_writes=off")
	shell := exec.Command("sh", append([]string{"-c", `"$@" & read -r _; kill -INT $!; wait; rm -rf "$0"`, s.folder}, postgres.Args...)...)
	shell.SysProcAttr, shell.Dir = postgres.SysProcAttr, postgres.Dir
	if s.stdin, err = shell.StdinPipe(); err == nil {
		err = shell.Start()
	}
	if err == nil {
		err = answers(context.Background(), s.folder)
	}
	if err == nil {
		s.db, err = sql.Open("pgx", urlIn(s.folder, nil))
	}
	return s, err
})

// URL returns the URL of an empty place in a database: a schema of its own. The server is
// the same for all tests in a process. It ends with the process, and so does all that is
// in it.
func URL(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprint("test", s.made.Add(1))
	if _, err := s.db.Exec(`CREATE SCHEMA ` + name); err != nil {
		t.Fatal(err)
	}
	return urlIn(s.folder, url.Values{"search_path": {name}})
}

// urlIn returns the URL of the database of the server in a folder.
func urlIn(folder string, more url.Values) string {
	query := url.Values{"host": {folder}}
	for name, values := range more {
		query[name] = values
	}
	return (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: query.Encode()}).String()
}

// answers waits until the server in a folder answers.
func answers(ctx context.Context, folder string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	db, err := sql.Open("pgx", urlIn(folder, nil))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// account returns who is to run a server. PostgreSQL refuses root.
func account() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	postgres, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: PostgreSQL must be installed, as make test-go does it", err)
	}
	uid, noUID := strconv.ParseUint(postgres.Uid, 10, 32)
	gid, noGID := strconv.ParseUint(postgres.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(noUID, noGID)
}

// cluster makes a folder with an empty database. It is no t.TempDir, which may be longer
// than the path of a socket can be.
func cluster(account *syscall.Credential) (folder string, err error) {
	if folder, err = os.MkdirTemp("", "postgresql"); err != nil {
		return "", err
	}
	if account != nil {
		err = os.Chown(folder, int(account.Uid), int(account.Gid))
	}
	if err == nil {
		// With a locale in which texts do not sort by their bytes.
		initdb := program("initdb", "-D", filepath.Join(folder, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8",
			"--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8", "--no-sync")
		initdb.SysProcAttr = &syscall.SysProcAttr{Credential: account}
		var out []byte
		if out, err = initdb.CombinedOutput(); err != nil {
			err = fmt.Errorf("initdb: %w: %s: PostgreSQL 15 or later must be installed, as make test-go does it", err, out)
		}
	}
	if err != nil {
		_ = os.RemoveAll(folder)
	}
	return folder, err
}

// server returns the command that runs the server in a folder.
func server(account *syscall.Credential, folder string, more ...string) *exec.Cmd {
	command := program("postgres", append([]string{"-D", filepath.Join(folder, "data"), "-k", folder,
		"-c", "listen_addresses=", "-c", "max_connections=200", "-c", "log_min_messages=fatal", "-c", "log_min_error_statement=panic"}, more...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	return command
}

// program returns the command that runs a program of PostgreSQL's, which Debian has in no
// PATH.
func program(name string, arguments ...string) *exec.Cmd {
	found, _ := exec.LookPath(name)
	versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(versions) > 0 {
		found = versions[len(versions)-1]
	}
	command := exec.Command(cmp.Or(found, name), arguments...)
	command.Dir = "/"
	return command
}
