//go:build !js

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/internal/pgtest"
	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// TestMain lets the test binary be the command itself, for the tests that send
// signals, or those who attack it.
func TestMain(m *testing.M) {
	switch os.Getenv("SESSION_WRITER_MAIN") {
	case "":
	case "never ends":
		ctx := untilSignal()
		fmt.Println("ready")
		<-ctx.Done()
		fmt.Println("told to end")
		select {}
	default:
		main()
	}
	if name := os.Getenv("SESSION_WRITER_ATTACK"); name != "" {
		if err := attackMain(name, os.Args[1]); err != nil {
			log.Fatal(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// siteFolder returns a folder with a site in it.
func siteFolder(t testing.TB) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "dist")
	if err := os.CopyFS(folder, fstest.MapFS{
		"index.html": {Data: []byte(`<script type="module" src="./page.js"></script>`)},
		"page.js":    {},
	}); err != nil {
		t.Fatal(err)
	}
	return folder
}

// databaseFile returns the name of a file that is not there yet.
func databaseFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "sessions.db")
}

// get demands that there is something at a URL.
func get(t *testing.T, url string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("GET %s gives %d, want 200", url, res.StatusCode)
	}
}

// readURL reads the line that the command prints once it listens.
func readURL(t testing.TB, stdout io.Reader) string {
	t.Helper()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("stdout ended after %q: %v", line, err)
	}
	url, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "session-writer: ")
	if !ok || !regexp.MustCompile(`^http://127\.0\.0\.[12]:[1-9]\d*$`).MatchString(url) {
		t.Fatalf("got the line %q, want session-writer: http://127.0.0.N:PORT", line)
	}
	return url
}

func TestRunServesUntilItsContextIsDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout, stdoutWriter := io.Pipe()
	var stderr strings.Builder
	code := make(chan int)
	go func() {
		// At an address of its own, or another test could be given the port
		// afterwards, and seem to be this one's server.
		code <- run(ctx, []string{"-addr", "127.0.0.2:0", "-site", siteFolder(t), "-db", databaseFile(t)}, stdoutWriter, &stderr)
		_ = stdoutWriter.Close()
	}()

	url := readURL(t, stdout)
	get(t, url+"/")
	get(t, url+"/sessions/health")

	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d, want 0", got)
	}
	if rest, _ := io.ReadAll(stdout); len(rest) != 0 {
		t.Errorf("stdout goes on: %q", rest)
	}
	if stderr.Len() != 0 {
		t.Errorf("stderr: %s", &stderr)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		t.Error("it still listens")
	}
}

// damagedFile returns the name of a database of which something is overwritten.
func damagedFile(t *testing.T) string {
	t.Helper()
	name := databaseFile(t)
	db, err := sqlite.Open(name, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sqlstore.New(db, sqlstore.Limits{}).Create(t.Context()), db.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(content) / 2; i < len(content); i++ {
		content[i] = 0xff
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRunRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	folder := siteFolder(t)
	missing := filepath.Join(t.TempDir(), "dist")
	db := databaseFile(t)
	damaged := damagedFile(t)

	for _, test := range []struct {
		name string
		args []string
		code int
		want []string // in stderr
	}{
		{"a port that is taken", []string{"-addr", taken.Addr().String(), "-site", folder, "-db", db}, 1,
			[]string{taken.Addr().String(), "already in use", "-addr"}},
		{"an address that is none", []string{"-addr", "nonsense", "-site", folder, "-db", db}, 2,
			[]string{"nonsense", "-addr"}},
		{"a site folder that is missing", []string{"-addr", "127.0.0.1:0", "-site", missing, "-db", db}, 1,
			[]string{missing, "run make build"}},
		{"a site folder that is empty", []string{"-addr", "127.0.0.1:0", "-site", t.TempDir(), "-db", db}, 1,
			[]string{"index.html", "run make build"}},
		{"a database in a folder that is missing", []string{"-addr", "127.0.0.1:0", "-site", folder, "-db", filepath.Join(missing, "sessions.db")}, 1,
			[]string{missing, "-db"}},
		{"a database that is none", []string{"-addr", "127.0.0.1:0", "-site", folder, "-db", filepath.Join(folder, "index.html")}, 1,
			[]string{"index.html", "-db"}},
		{"a backup that is damaged", []string{"-addr", "127.0.0.1:0", "-site", folder, "-db", damaged, "-restored"}, 1,
			[]string{damaged, "is damaged", "delete the log"}},
		{"an argument", []string{"-site", folder, "serve"}, 2,
			[]string{`unexpected argument "serve"`}},
		{"an origin that is none", []string{"-site", folder, "-origin", "https://example.com", "-origin", "example.com"}, 2,
			[]string{"-origin", "must be like https://example.com"}},
		{"a size that is none", []string{"-site", folder, "-db", db, "-max-size", "-1"}, 2,
			[]string{"-max-size -1", "0 for no limit"}},
		{"a size that no file has", []string{"-site", folder, "-db", db, "-max-size", "9223372036854775807"}, 2,
			[]string{"-max-size", "MiB"}},
		{"a size for PostgreSQL", []string{"-db", "postgres://user:secret@127.0.0.1:1/sessions", "-max-size", "4096"}, 2,
			[]string{"-max-size", "PostgreSQL has no such limit"}},
		{"a backup of PostgreSQL", []string{"-db", "postgres://user:secret@127.0.0.1:1/sessions", "-backup", missing}, 2,
			[]string{"-backup", "pg_dump"}},
		{"a URL that is none", []string{"-db", "postgres://user:sec/ret@127.0.0.1:1/sessions"}, 2,
			[]string{"-db", "the URL must be like", "percent-encoded"}},
		{"a URL where nobody answers", []string{"-addr", "127.0.0.1:0", "-site", folder, "-db", "postgres://user:secret@127.0.0.1:1/sessions"}, 1,
			[]string{"-db", "127.0.0.1", "connection refused"}},
		{"an unknown flag", []string{"-port", "80"}, 2,
			[]string{"-port", "session-server -h"}},
		{"an address of metrics that is taken", []string{"-addr", "127.0.0.1:0", "-site", folder, "-db", db, "-metrics", taken.Addr().String()}, 1,
			[]string{taken.Addr().String(), "already in use", "-metrics"}},
		{"a time that is negative", []string{"-site", folder, "-drain", "-1s"}, 2,
			[]string{"-drain", "-1s", "negative"}},
		{"a backup of a file that is missing", []string{"-db", missing, "-backup", filepath.Join(t.TempDir(), "backup.db")}, 1,
			[]string{missing, "no such file"}},
		{"a backup of a file that has no sessions", []string{"-db", filepath.Join(folder, "index.html"), "-backup", filepath.Join(t.TempDir(), "backup.db")}, 1,
			[]string{"index.html"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := run(t.Context(), test.args, &stdout, &stderr); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			for _, want := range test.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr does not say %q: %s", want, &stderr)
				}
			}
			if strings.Contains(stderr.String(), "secret") {
				t.Errorf("stderr has the password: %s", &stderr)
			}
			if stdout.Len() != 0 {
				t.Errorf("stdout: %s", &stdout)
			}
		})
	}
}

func TestRunAfterABackupWasPutBack(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { putBack(t, databaseFile(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { putBack(t, pgtest.URL(t)) })
}

func putBack(t *testing.T, address string) {
	t.Helper()
	copies, err := openDatabase(settings{db: address})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = copies.sql.Close() }()
	if err := copies.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	had, err := copies.Exchange(t.Context(), "owner", "cart", session.Sent{
		Owner: sqlstore.Tag("owner"),
		Items: `[{"format":1,"batches":[{"stamp":"1700000000000-0000-0123456789ab","set":{"a":1}}]}]`,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   []string
		says   string
		cursor error
	}{
		{nil, "", nil},
		{[]string{"-restored"}, "backup lacks: 1\n", session.ErrCursor},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		listens, stdout := io.Pipe()
		go func() {
			_, _ = bufio.NewReader(listens).ReadString('\n')
			cancel()
		}()
		var stderr strings.Builder
		args := append(test.args, "-addr", "127.0.0.1:0", "-site", siteFolder(t), "-db", address)
		if code := run(ctx, args, stdout, &stderr); code != 0 || !strings.HasSuffix(stderr.String(), test.says) {
			t.Errorf("%q: exit code %d, %q", test.args, code, &stderr)
		}
		cancel()
		_, err := copies.Exchange(t.Context(), "owner", "cart", session.Sent{Owner: had.Owner, Cursor: had.Cursor})
		if !errors.Is(err, test.cursor) {
			t.Errorf("%q: the cursor of before: %v, want %v", test.args, err, test.cursor)
		}
	}
}

func TestRunWarnsWhenOthersCanReachIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr strings.Builder
	if code := run(ctx, []string{"-addr", ":0", "-site", siteFolder(t), "-db", databaseFile(t)}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	if !strings.Contains(stderr.String(), "warning: ") {
		t.Errorf("no warning on stderr: %q", &stderr)
	}
}

// startCommand runs the command on a database and returns it and its URL.
func startCommand(t testing.TB, db string) (command *exec.Cmd, url string) {
	t.Helper()
	command = exec.CommandContext(t.Context(), os.Args[0], "-addr", "127.0.0.1:0", "-site", siteFolder(t), "-db", db)
	command.Env = append(os.Environ(), "SESSION_WRITER_MAIN=1")
	return command, readURL(t, start(t, command))
}

// start starts a command and returns what it prints.
func start(t testing.TB, command *exec.Cmd) io.Reader {
	t.Helper()
	command.Stderr = t.Output()
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return stdout
}

func TestASignalEndsTheCommandWell(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			command, url := startCommand(t, databaseFile(t))
			get(t, url+"/")
			if err := command.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := command.Wait(); err != nil {
				t.Errorf("it ended with %v, want exit code 0", err)
			}
		})
	}
}

// While requests are in progress, the command waits for them.
func TestASecondSignalKills(t *testing.T) {
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), "SESSION_WRITER_MAIN=never ends")
	says := bufio.NewScanner(start(t, command))
	for _, want := range []string{"ready", "told to end"} {
		if !says.Scan() || says.Text() != want {
			t.Fatalf("it says %q, %v, want %s", says.Text(), says.Err(), want)
		}
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	_ = command.Wait()
	status := command.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, want to be killed by the second signal", command.ProcessState)
	}
}
