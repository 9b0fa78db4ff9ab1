//go:build !js

package server

import (
	"database/sql"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/session-interop/session-writer/web/sqlite"
	"github.com/session-interop/session-writer/web/sqlstore"
)

func openFile(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "sessions.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// openClosed returns a database that does not answer.
func openClosed(t testing.TB) *sql.DB {
	t.Helper()
	db := openFile(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return db
}

// logged keeps what is logged, of which each call is one.
type logged []string

func (l *logged) Write(line []byte) (int, error) {
	*l = append(*l, string(line))
	return len(line), nil
}

func TestTheLogHasNoSecrets(t *testing.T) {
	const key, value = "the key of an entry", "the value of an entry"
	file := openFile(t)
	db := sqlstore.New(file, sqlstore.Limits{})
	if err := db.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	var lines logged
	handler := mustNew(t, Config{DB: db, ErrorLog: log.New(&lines, "", 0)})
	_, header, _ := answerTo(handler, post("/sessions/exchange?session=cart", "[]"))
	cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	tag := header.Get("Session-Owner")
	secrets := []string{key, value, strings.TrimPrefix(cookie, "session-writer=")[:32]}
	ask := func(path, body string) (int, string) {
		r := post(path, body)
		r.Header.Set("Cookie", cookie)
		code, _, says := answerTo(handler, r)
		return code, says
	}
	all := func(want int) {
		t.Helper()
		before := len(lines)
		code, says := ask("/sessions/exchange?session=cart&owner="+tag, "["+item(`"set":{"`+key+`":"`+value+`"}`)+"]")
		if code != want {
			t.Errorf("an exchange: %d %s, want %d", code, says, want)
		}
		if failed := len(lines) > before; failed != (want == http.StatusServiceUnavailable) {
			t.Errorf("with %d it logs %q", code, lines[before:])
		}
	}
	all(200)
	_, pairing := ask("/sessions/pair", "")
	code := strings.Split(pairing, `"`)[3]
	if len(code) != 19 {
		t.Fatalf("the code is %q", code)
	}
	secrets = append(secrets, code, strings.ReplaceAll(code, "-", ""))

	// What is stored has suffered.
	exec := func(statement string) {
		t.Helper()
		if _, err := file.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`UPDATE codes SET sealed = 'no hexadecimal'`)
	if status, says := ask("/sessions/join", `{"code":"`+code+`"}`); status != 503 {
		t.Errorf("join: %d %s", status, says)
	}
	exec(`UPDATE records SET key = key || 'x' WHERE key LIKE '"%'`)
	all(503)
	w := httptest.NewRecorder()
	r := get()
	r.Header.Set("Cookie", cookie)
	if _, err := mustOpen(t, handler, r, "cart").Load(t.Context()); err == nil {
		t.Error("it loads")
	} else {
		handler.Error(w, r, err)
	}
	exec(`DROP TABLE records`)
	all(503)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	all(503)
	for _, path := range []string{"/sessions/pair", "/sessions/join"} {
		if status, says := ask(path, `{"code":"`+code+`"}`); status != 503 {
			t.Errorf("%s: %d %s", path, status, says)
		}
	}

	if len(lines) < 7 {
		t.Errorf("it has logged no more than %q", lines)
	}
	for _, line := range lines {
		for _, secret := range secrets {
			if strings.Contains(strings.ToLower(line), strings.ToLower(secret)) {
				t.Errorf("it logs %q: %s", secret, line)
			}
		}
		if strings.Index(line, "\n") != len(line)-1 {
			t.Errorf("it logs more than one line: %q", line)
		}
	}
}
