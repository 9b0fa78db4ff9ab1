package load

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/session-interop/session-writer/internal/pgtest"
	"github.com/session-interop/session-writer/web/sqlstore"
)

var ctx = context.Background()

// An engine has databases.
type engine struct {
	name string
	// address returns the address of a new one, for open.
	address func() string
	// logged returns how many bytes have been written into the engine's log, or 0 if it does
	// not tell.
	logged func() float64
	// pid is the process of the engine, or 0 if that is the server's.
	pid int
}

// embedded returns SQLite, as a server has it.
func embedded(b *testing.B) engine {
	b.Helper()
	db, err := open(filepath.Join(b.TempDir(), "version.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var version string
	if err := db.QueryRow(`SELECT sqlite_version()`).Scan(&version); err != nil {
		b.Fatal(err)
	}
	return engine{"SQLite " + version, func() string { return filepath.Join(b.TempDir(), "sessions.db") }, func() float64 { return 0 }, 0}
}

// engines returns SQLite and PostgreSQL, both as a server has them: a commit survives a
// power cut.
func engines(b *testing.B) []engine {
	b.Helper()
	postgres := pgtest.Start(b).URL()
	db, err := open(postgres)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	var folder, version string
	if err := db.QueryRow(`SELECT current_setting('data_directory'), split_part(current_setting('server_version'), ' ', 1)`).Scan(&folder, &version); err != nil {
		b.Fatal(err)
	}
	pid, err := os.ReadFile(filepath.Join(folder, "postmaster.pid"))
	if err != nil {
		b.Fatal(err)
	}
	first, _, _ := bytes.Cut(pid, []byte("\n"))
	process, err := strconv.Atoi(string(first))
	if err != nil {
		b.Fatal(err)
	}
	schemas := 0
	return []engine{
		embedded(b),
		{"PostgreSQL " + version, func() string {
			schemas++
			name := fmt.Sprint("contestant", schemas)
			if err := db.exec(`CREATE SCHEMA ` + name); err != nil {
				b.Fatal(err)
			}
			return postgres + "&" + url.Values{"search_path": {name}}.Encode()
		}, func() (bytes float64) {
			if err := db.QueryRow(`SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')`).Scan(&bytes); err != nil {
				b.Fatal(err)
			}
			return bytes
		}, process},
	}
}

// cpu returns the CPU time that a process and its children have used. Linux tells it in
// hundredths of a second (proc(5), /proc/pid/stat).
func cpu(b *testing.B, pid int) (used time.Duration) {
	b.Helper()
	const parent, user, system, childrenSystem = 1, 11, 12, 14 // after the name
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		of, _, _ := strings.Cut(string(text), " ")
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		last := system
		switch strconv.Itoa(pid) {
		case of:
			last = childrenSystem // those that have ended, too
		case fields[parent]:
		default:
			continue
		}
		for _, ticks := range fields[user : last+1] {
			n, err := strconv.ParseInt(ticks, 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			used += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return used
}

// The owners of a grown database are numbers. Each has one session.

// idOf returns the id of the owner of a number.
func idOf(number int) string { return fmt.Sprintf("%032x", number) }

// storedAs returns the owner as the tables have him.
func storedAs(number int) string {
	sum := sha256.Sum256([]byte(idOf(number)))
	return hex.EncodeToString(sum[:])
}

// cookieOf returns the cookie of the owner of a number.
func cookieOf(number int) string {
	return fmt.Sprintf("session-writer=%s-%d", idOf(number), time.Now().Unix()/(24*60*60))
}

func init() {
	sqlite.MustRegisterDeterministicScalarFunction("stored_as", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		return storedAs(int(args[0].(int64))), nil
	})
}

// grow adds the owners of the numbers from one on to before another, each with a session of
// so many entries, whose version is their count. They are added in the order in which the
// tables have them, and without care for a power cut.
func grow(b *testing.B, address string, from, to, entries int) {
	b.Helper()
	db, err := open(address)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.sessions(sqlstore.Limits{}).Create(ctx); err != nil {
		b.Fatal(err)
	}
	numbers, owner := `(WITH RECURSIVE n (i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %d) SELECT i FROM n)`, `stored_as(i)`
	before, after := `PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000`, []string{`PRAGMA journal_mode = WAL`}
	if db.postgresql {
		numbers, owner = `(SELECT generate_series(%d, %d - 1) AS i)`, `encode(sha256(convert_to(lpad(to_hex(i), 32, '0'), 'UTF8')), 'hex')`
		before, after = `SET synchronous_commit = off`, []string{`VACUUM ANALYZE`, `CHECKPOINT`}
	}
	now := time.Now()
	millis, today := now.Add(-time.Hour).UnixMilli(), now.UTC().Format(time.DateOnly)
	fresh := `owners o WHERE NOT EXISTS (SELECT 1 FROM sessions s WHERE s.owner = o.owner)`
	if err := db.exec(append([]string{
		before,
		fmt.Sprintf(`INSERT INTO owners (owner, made, used)
SELECT `+owner+`, '%s', '%s' FROM `+numbers+` numbers ORDER BY 1`, now.Add(-time.Hour).UTC().Format(time.RFC3339), today, from, to),
		// One device each, whose secret is the owner's id.
		fmt.Sprintf(`INSERT INTO devices (device, owner, sealed, kind, number, name, made, seen, told, revoked)
SELECT owner, owner, '', 'visitor', 1, '', made, '%s', 1, '' FROM `+fresh, now.UTC().Format(time.RFC3339)),
		fmt.Sprintf(`INSERT INTO records (owner, session, key, stamp, version, merged, made, value)
SELECT f.owner, '"cart"', '"key' || i || '"', '%s', i + 1, '%s', '%[3]d', '%s'
FROM (SELECT owner FROM `+fresh+` ORDER BY owner) f CROSS JOIN `+numbers+` numbers`,
			stamp(millis, 0, 0), today, millis, value(0), 0, entries),
		fmt.Sprintf(`INSERT INTO records (owner, session, key, stamp, version, merged, made, value)
SELECT owner, '"cart"', 'newest', '%s', %d, '%s', '', '%d' FROM `+fresh, stamp(millis, 0, 0), entries, today, millis),
		fmt.Sprintf(`INSERT INTO sessions (owner, name, epoch, version, used)
SELECT owner, '"cart"', substr(owner, 1, 16), 0, '%s' FROM `+fresh, today),
	}, after...)...); err != nil {
		b.Fatal(err)
	}
	syscall.Sync() // or the first commits that are measured would wait for it
}

// cursorOf returns the cursor of who has all of the session as it was grown.
func cursorOf(number, entries int) string {
	return fmt.Sprintf("%s-%d", storedAs(number)[:16], entries)
}
