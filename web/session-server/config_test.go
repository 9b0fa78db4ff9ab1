//go:build !js

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// configFile returns the path of a configuration file.
func configFile(t *testing.T, config string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runWith runs the command, and demands an exit code.
func runWith(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	if code := run(t.Context(), args, &out, &errs); code != want {
		t.Errorf("%q: exit code %d, want %d: %s", args, code, want, &errs)
	}
	return out.String(), errs.String()
}

func TestTheExampleIsWhatHoldsWithoutIt(t *testing.T) {
	example, stderr := runWith(t, 0, "-config-example")
	if stderr != "" {
		t.Error(stderr)
	}
	var s settings // without a default
	if problems := readConfig([]byte(example), s.file()); problems != nil {
		t.Fatal(problems)
	}
	want := defaultSettings()
	want.origins = []string{}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("it says %+v, want %+v", s, want)
	}
	for i := range reflect.TypeFor[sqlstore.Limits]().NumField() {
		if field := reflect.ValueOf(s.limits).Field(i); field.IsZero() {
			t.Errorf("the example lacks limit %d", i)
		}
	}
	again, _ := runWith(t, 0, "-config", configFile(t, example), "-config-example")
	if again != example {
		t.Errorf("of itself, it is %s", again)
	}
}

func TestTheExampleSaysWhatFlagsSay(t *testing.T) {
	example, _ := runWith(t, 0, "-config-example", "-addr", ":0", "-site", "a<b", "-db", "sqlite:c", "-max-size", "1", "-metrics", ":1", "-drain", "1m", "-idle", "2m", "-lifetime", "3m", "-audit", "-live=false",
		"-origin", "https://example.com", "-origin", "https://example.org")
	var s settings
	if problems := readConfig([]byte(example), s.file()); problems != nil {
		t.Fatal(problems)
	}
	want := settings{":0", []string{"https://example.com", "https://example.org"}, "a<b", "sqlite:c", 1, ":1", time.Minute, 2 * time.Minute, 3 * time.Minute, true, false, sqlstore.DefaultLimits(), defaultSockets}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("it says %+v, want %+v", s, want)
	}
}

// A flag is a setting, which a configuration file has too, or says what to do once.
func TestAFileHasEverySetting(t *testing.T) {
	help, _ := runWith(t, 0, "-help")
	var members []string
	for _, m := range new(settings).file() {
		members = append(members, m.name)
	}
	once := []string{"backup", "config", "config-example", "restored"}
	for _, flag := range regexp.MustCompile(`(?m)^  -([a-z-]+)`).FindAllStringSubmatch(help, -1) {
		if name := flag[1]; !slices.Contains(members, inFile[name]) && !slices.Contains(once, name) {
			t.Errorf("a configuration file cannot say what -%s does", name)
		}
	}
}

func TestWhatAFileLacksHasItsDefault(t *testing.T) {
	s := defaultSettings()
	if problems := readConfig([]byte(`{"limits": {"entries": 5, "sockets": 6}}`), s.file()); problems != nil {
		t.Fatal(problems)
	}
	want := defaultSettings()
	want.limits.Entries, want.sockets = 5, 6
	if !reflect.DeepEqual(s, want) {
		t.Errorf("it says %+v, want %+v", s, want)
	}
}

func TestEachProblemHasItsLineAndPath(t *testing.T) {
	for _, test := range []struct {
		config string
		want   []string // each the beginning of a problem, and all of them
	}{
		{``, []string{"1: it is no JSON: unexpected end"}},
		{"{\n\n", []string{"2: it is no JSON: unexpected end"}},
		{"{\n  // no comments\n}", []string{"2: it is no JSON: invalid character '/'"}},
		{"{}\n{}", []string{"2: it is no JSON: invalid character '{' after top-level value"}},
		{"{\"limits\": {\n\"key\": nul}}", []string{"2: limits.key: it is no JSON: invalid character '}'"}},
		{"{\"origins\": [\"https://example.com\",\n]}", []string{"2: origins[1]: it is no JSON: invalid character ']'"}},
		{"{\"limits\": {}\n\"db\": 1}", []string{"2: it is no JSON: invalid character '\"' after object key:value pair"}},
		{"{\n1: 2}", []string{"2: it is no JSON: invalid character '1'"}},
		{"{\n\n\"site\": \"\xff\"}", []string{"3: it is not valid UTF-8"}},
		{"\ufeff{}", []string{"1: it is no JSON"}},
		{`null`, []string{"1: it is null, must be an object"}},
		{`[]`, []string{"1: it is a list, must be an object"}},
		{`{"adr": 1, "Addr": ""}`, []string{
			"1: adr: unknown member: there are addr, origins, site, db, maxSize, metrics, drain, idle, lifetime, audit, live, limits", "1: Addr: unknown member"}},
		{"{\"site\": \"a\",\n\"site\": \"b\"}", []string{"2: site: it was given in line 1, must be given once"}},
		{"{\n\"addr\": 8080,\n\"drain\": \"ten\",\n\"db\": null,\n\"metrics\": \"x\"}", []string{
			"2: addr: it is 8080, must be a string", "3: drain: it is a string, must be a time like", "4: db: it is null, must be a string", "5: metrics: it is \"x\", must be"}},
		{`{"audit": "yes", "idle": "-1s"}`, []string{"1: audit: it is a string, must be true or false", "1: idle: it is -1s, must not be negative"}},
		{`{"addr": "nonsense"}`, []string{`1: addr: it is "nonsense", must be like 127.0.0.1:8080`}},
		{`{"addr": "localhost:99999"}`, []string{`1: addr: it is "localhost:99999", must be like`}},
		{`{"origins": "https://example.com"}`, []string{"1: origins: it is a string, must be a list of strings"}},
		{"{\"origins\": [\n\"https://example.com\",\n\"example.com\", true]}", []string{
			"3: origins[1]: \"example.com\" is no origin: it must be like https://example.com", "3: origins[2]: it is true, must be a string"}},
		{`{"db": ""}`, []string{"1: db: it is empty: it must be the path of a SQLite file, or a URL like sqlite:///"}},
		{`{"db": "mysql://ada:hunter@example.com/db"}`, []string{"1: db: it is a URL of another scheme: it must be the path"}},
		{`{"db": "sqlite:a.db?session=cart"}`, []string{"1: db: it has parameters"}},
		{`{"db": "sqlite://a.db"}`, []string{"1: db: it has a host"}},
		{`{"db": "sqlite:"}`, []string{"1: db: it names no file"}},
		{`{"db": "sqlite://[hunter"}`, []string{"1: db: it is no URL"}},
		{`{"maxSize": -1}`, []string{"1: maxSize: it is -1, must be a whole number from 0 to 8796093022207"}},
		{`{"maxSize": 1.5}`, []string{"1: maxSize: it is 1.5, must be a whole number"}},
		{`{"maxSize": 8796093022208}`, []string{"1: maxSize: it is 8796093022208, must be"}},
		{`{"maxSize": 1e400}`, []string{"1: maxSize: it is 1e400, must be"}},
		{`{"maxSize": "4096"}`, []string{"1: maxSize: it is a string, must be a whole number"}},
		{`{"limits": 5}`, []string{"1: limits: it is 5, must be an object"}},
		{"{\"limits\": {\n\"entries\": 0,\n\"entry\": {},\n\"bytes\": []}}", []string{
			"2: limits.entries: it is 0, must be a whole number from 1 to 100000",
			"3: limits.entry: unknown member: there are body, batch, key, entries, bytes, sessions, codes, devices, owners, waiting, sockets",
			"4: limits.bytes: it is a list, must be a whole number from 1 to 8388608"}},
	} {
		s := defaultSettings()
		problems := readConfig([]byte(test.config), s.file())
		if len(problems) != len(test.want) {
			t.Errorf("%s: got %v, want %q", test.config, problems, test.want)
			continue
		}
		for i, problem := range problems {
			if !strings.HasPrefix(problem.String(), test.want[i]) || strings.Contains(problem.String(), "hunter") {
				t.Errorf("%s: got %s, want %s", test.config, problem, test.want[i])
			}
		}
	}
}

func TestAFileIsCheckedBeforeAnythingIsMade(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	config := configFile(t, "{\n\"db\": \"made.db\",\n\"maxSize\": true,\n\"limits\": {\"key\": 0}}")
	_, stderr := runWith(t, 2, "-config", config, "-addr", ":0", "-max-size", "1", "-restored")
	for _, want := range []string{
		config + ":3: maxSize: it is true", config + ":4: limits.key: it is 0",
		"-addr: beside -config, this is said by the file, in its member addr",
		"-max-size: beside -config, this is said by the file, in its member maxSize",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("it does not say %q: %s", want, stderr)
		}
	}
	if strings.Contains(stderr, "-restored") {
		t.Errorf("-restored is refused: %s", stderr)
	}
	_, stderr = runWith(t, 1, "-config", configFile(t, `{"db": "made.db", "site": "missing"}`))
	if !strings.Contains(stderr, "run make build") {
		t.Errorf("without a site: %s", stderr)
	}
	if _, stderr = runWith(t, 2, "-config", "missing.json"); !strings.Contains(stderr, "missing.json") {
		t.Errorf("without a file: %s", stderr)
	}
	if made, err := os.ReadDir(folder); err != nil || len(made) != 0 {
		t.Errorf("there is %v, %v", made, err)
	}
}

func TestAFileSaysWhatTheServerDoes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file := databaseFile(t)
	config := configFile(t, fmt.Sprintf(`{"addr": "127.0.0.2:0", "site": %q, "db": %q, "limits": {"sessions": 7}}`, siteFolder(t), "sqlite://"+file))
	stdout, stdoutWriter := io.Pipe()
	var stderr strings.Builder
	code := make(chan int)
	go func() { code <- run(ctx, []string{"-config", config}, stdoutWriter, &stderr) }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	get(t, strings.TrimSpace(strings.TrimPrefix(line, "session-writer: "))+"/sessions/health")
	cancel()
	if got := <-code; got != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d: %s", got, &stderr)
	}
	db, err := sqlite.Open(file, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRow(`SELECT count(*) FROM sessions`).Err(); err != nil {
		t.Errorf("the database: %v", err)
	}
}

func TestDatabases(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for db, want := range map[string]string{
		"web/sessions.db":            "web/sessions.db",
		"/a/b?c#d%.db":               "/a/b?c#d%.db",
		"file:a.db":                  "file:a.db",
		"./a://b":                    "./a://b",
		"sqlite:a.db":                filepath.Join(here, "a.db"),
		"SQLite:///a/b%3Fc%23d.db":   "/a/b?c#d.db",
		"sqlite:" + "../a%20%25.db":  filepath.Join(filepath.Dir(here), "a %.db"),
		"mysql://ada:hunter@host/db": "",
	} {
		got, err := databasePath(db)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", db, got, err, want)
		}
	}
}

// Whatever a file has, it is read or refused, and a problem is in one of its lines.
func TestAnyFile(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	example, _ := runWith(t, 0, "-config-example")
	parts := []string{"{", "}", "[", "]", ",", ":", "\"", "\\", "\n", "0", "-", "null", "\"limits\"", "\"addr\"", "\xff", "1e9"}
	for range 20_000 {
		file := example
		for range random.IntN(4) {
			at := random.IntN(len(file) + 1)
			file = file[:at] + parts[random.IntN(len(parts))] + file[min(len(file), at+random.IntN(20)):]
		}
		s := defaultSettings()
		for _, problem := range readConfig([]byte(file), s.file()) {
			if lines := 1 + strings.Count(file, "\n"); problem.line < 1 || problem.line > lines || problem.text == "" {
				t.Fatalf("seed %d: %+v in %s", seed, problem, file)
			}
		}
	}
}
