package sqlstore

import (
	"errors"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/session-interop/session-writer"
)

func mustPair(t *testing.T, d *DB, owner string) string {
	t.Helper()
	code, expires, err := d.Pair(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$`).MatchString(code) {
		t.Errorf("the code is %q", code)
	}
	if left := expires.Sub(d.now()); left > pairingTime || left <= pairingTime-time.Second-time.Minute {
		t.Errorf("the code expires in %v", left)
	}
	return code
}

func TestAPairingCodeCountsOnce(t *testing.T) {
	path := file(t)
	processes := []*DB{create(t, open(t, path), Limits{}), connect(open(t, path), Limits{})}
	for _, owner := range []string{owner, "x", strings.Repeat("long ", 100)} {
		code := mustPair(t, processes[0], owner)
		var joined atomic.Int32
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				switch got, err := processes[i%2].Join(t.Context(), code); {
				case err == nil && got == owner:
					joined.Add(1)
				case !errors.Is(err, ErrPairing):
					t.Errorf("got %q, %v, want %q or ErrPairing", got, err, owner)
				}
			})
		}
		wg.Wait()
		if n := joined.Load(); n != 1 {
			t.Errorf("%d have joined, want 1", n)
		}
	}
}

func TestAPairingCodeAsSomebodyTypesIt(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	for _, typed := range []func(string) string{
		func(code string) string { return code },
		strings.ToLower,
		func(code string) string { return strings.ReplaceAll(code, "-", "") },
		func(code string) string { return " " + strings.ReplaceAll(code, "-", " ") },
		func(code string) string { return strings.NewReplacer("0", "O", "1", "I").Replace(code) },
		func(code string) string { return strings.NewReplacer("0", "o", "1", "l").Replace(code) },
	} {
		code := typed(mustPair(t, d, owner))
		if got, err := d.Join(t.Context(), code); err != nil || got != owner {
			t.Errorf("code %q: got %q, %v", code, got, err)
		}
	}
	good := mustPair(t, d, owner)
	for _, code := range []string{
		"", "-", "0000-0000-0000-0000", good[1:], good + "0", "U" + good[1:], good + strings.Repeat("-", 64), "\xff", digest(good),
	} {
		if got, err := d.Join(t.Context(), code); !errors.Is(err, ErrPairing) || got != "" {
			t.Errorf("code %q: got %q, %v, want ErrPairing", code, got, err)
		}
	}
	if _, err := d.Join(t.Context(), good); err != nil {
		t.Errorf("the code does not count after others were tried: %v", err)
	}
}

func TestAPairingCodeExpires(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	start := time.Now()
	d.now = func() time.Time { return start }
	code := mustPair(t, d, owner)
	d.now = func() time.Time { return start.Add(pairingTime) }
	if _, err := d.Join(t.Context(), code); !errors.Is(err, ErrPairing) {
		t.Errorf("after %v: %v, want ErrPairing", pairingTime, err)
	}
	d.now = func() time.Time { return start.Add(pairingTime - 2*time.Second) }
	if _, err := d.Join(t.Context(), code); err != nil {
		t.Errorf("just before that: %v", err)
	}
}

func TestAnOwnerHasFewPairingCodes(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{Codes: 3})
	for _, owner := range []string{owner, "x"} {
		codes := []string{mustPair(t, d, owner), mustPair(t, d, owner), mustPair(t, d, owner)}
		if code, _, err := d.Pair(t.Context(), owner); !errors.Is(err, session.ErrQuota) || code != "" || !strings.Contains(err.Error(), "3 pairing codes") {
			t.Errorf("one more: %q, %v, want ErrQuota with the limit", code, err)
		}
		if _, err := d.Join(t.Context(), codes[1]); err != nil {
			t.Error(err)
		}
		mustPair(t, d, owner) // in the place of what was used
	}
	now := time.Now().Add(pairingTime)
	d.now = func() time.Time { return now }
	mustPair(t, d, owner) // in the place of what expired
}

// This clock was ahead, and is right again.
func TestPairingCodesOfTheFutureAreNone(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{Codes: 2})
	start := time.Now()
	d.now = func() time.Time { return start.Add(24 * time.Hour) }
	code := mustPair(t, d, owner)
	mustPair(t, d, owner)
	d.now = func() time.Time { return start }
	if _, err := d.Join(t.Context(), code); !errors.Is(err, ErrPairing) {
		t.Errorf("a code that would last a day: %v, want ErrPairing", err)
	}
	mustPair(t, d, owner)
}

func TestTheDatabaseTellsNoSecret(t *testing.T) {
	d := create(t, open(t, file(t)), Limits{})
	mustExchange(t, d, owner, "cart", "", "["+item(past, `"set":{"a":1}`)+"]")
	code := mustPair(t, d, owner)
	const secret = "secret of a device"
	_, err := d.AddDevice(t.Context(), Added{Owner: owner, Secret: secret})
	if err := errors.Join(err, d.AddOwner(t.Context(), owner)); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"sessions", "records", "owners", "codes", "devices"} {
		rows, err := d.db.Query(`SELECT * FROM ` + table)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			row := make([]any, len(columns))
			for i := range row {
				row[i] = new(any)
			}
			if err := rows.Scan(row...); err != nil {
				t.Fatal(err)
			}
			for i := range row {
				text, _ := (*row[i].(*any)).(string)
				if strings.Contains(text, owner) || strings.Contains(text, secret) || strings.Contains(text, code) || strings.Contains(text, strings.ReplaceAll(code, "-", "")) {
					t.Errorf("%s.%s tells an owner, a code or a secret: %q", table, columns[i], text)
				}
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
