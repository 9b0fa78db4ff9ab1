//go:build !js

package sqlstore

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer/web/sqlite"
)

// A value that is saved again takes the place of the former.
func TestTheFileIsAsLargeAsWhatIsInIt(t *testing.T) {
	onlySQLite(t, "of its file")
	path := file(t)
	db := open(t, path)
	d := create(t, db, Limits{})
	const sessions, size = 20, 900_000
	for n := range 4 {
		for i := range sessions {
			value := strings.Repeat(fmt.Sprint(n), size)
			mustExchange(t, d, owner, fmt.Sprint("s", i), "", "["+item(past+int64(n), `"set":{"k":"`+value+`"}`)+"]")
		}
	}
	mustPrune(t, d, time.Now())
	if err := sqlite.Shrink(t.Context(), db, d.InTurn); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		taken += len(content)
	}
	if taken > sessions*size*11/10 {
		t.Errorf("%d bytes are taken by %d", taken, sessions*size)
	}
}
