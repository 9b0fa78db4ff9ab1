//go:build unix

package engine

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// worked returns how long this process has worked until now, however long it had
// to wait.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// Each clearing drops what is older. It must not look at all that is not, again
// and again: that takes many times as long.
func TestManyClearingsTakeLittle(t *testing.T) {
	const entries, clearings = 50_000, 6_000
	item := func(time int64, members string) string {
		return fmt.Sprintf(`{"format":1,"batches":[{"stamp":"%013d-0000-0123456789ab",%s}]}`, time, members)
	}
	var set []string
	for i := range entries {
		set = append(set, fmt.Sprintf(`"%x":1`, i))
	}
	items := []string{item(2_000_000, `"set":{`+strings.Join(set, ",")+`}`)}
	took := func() time.Duration {
		t.Helper()
		text := "[" + strings.Join(items, ",") + "]"
		began := worked(t)
		said, unreadable, err := ParseItems(text)
		if err != nil || unreadable > 0 || len(said.Records) != entries {
			t.Fatalf("%d entries, %d that cannot be read, %v", len(said.Records), unreadable, err)
		}
		return worked(t) - began
	}
	without := took()
	for i := range clearings {
		items = append(items, item(1_000_000+int64(i), `"clear":true`))
	}
	if with := took(); with > 20*without {
		t.Errorf("%d clearings: %v, and %v without them", clearings, with, without)
	}
}
