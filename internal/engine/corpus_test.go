// Not in a browser, where there are no files.

//go:build !js

package engine

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"
)

func TestItemsMeanWhatTheExamplesSay(t *testing.T) {
	text, err := os.ReadFile("../../testdata/items.json")
	if err != nil {
		t.Fatal(err)
	}
	var examples []struct {
		Name, Text, Fault, Since string
		Batches                  []struct {
			Stamp  Stamp
			Clear  bool
			Set    [][2]string
			Remove []string
		}
	}
	if err := json.Unmarshal(text, &examples); err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		t.Run(e.Name, func(t *testing.T) {
			got, err := decode(e.Text)
			switch e.Fault {
			case "damaged":
				if err != errDamaged {
					t.Errorf("decode returned %+v, %v, want %v", got, err, errDamaged)
				}
				return
			case "format":
				if err != errFormat {
					t.Errorf("decode returned %+v, %v, want %v", got, err, errFormat)
				}
				return
			}
			var want content
			for _, b := range e.Batches {
				want.newest = max(want.newest, b.Stamp)
				if b.Clear {
					want.cleared = max(want.cleared, b.Stamp)
				}
				for _, pair := range b.Set {
					want.assignments = append(want.assignments, assignment{pair[0], version{b.Stamp, pair[1]}})
				}
				for _, key := range b.Remove {
					want.assignments = append(want.assignments, assignment{key, version{stamp: b.Stamp}})
				}
			}
			since := want.newest // unless something was saved before
			for _, r := range want.assignments {
				since = min(since, r.stamp)
			}
			if want.since = since.Millis(); e.Since != "" {
				want.since, _ = parseMillis(e.Since)
			}
			// In whatever order the members come.
			merged := func(c content) (s state) { s.add(c); return s }
			if err != nil || len(got.assignments) != len(want.assignments) || !reflect.DeepEqual(merged(got), merged(want)) {
				t.Errorf("decode returned %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func TestLedgersMeanWhatTheExamplesSay(t *testing.T) {
	text, err := os.ReadFile("../../testdata/ledgers.json")
	if err != nil {
		t.Fatal(err)
	}
	var examples []struct {
		Name, Text string
		Ledger     struct {
			Owner, Generation, Cursor string
			Active                    int64
			Stamps                    []string
		}
	}
	if err := json.Unmarshal(text, &examples); err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		t.Run(e.Name, func(t *testing.T) {
			got, l := parseLedger(e.Text), e.Ledger
			want := ledger{owner: l.Owner, generation: l.Generation, active: l.Active, cursor: l.Cursor}
			for _, stamp := range l.Stamps {
				want.stamps += " " + stamp
			}
			if got != want {
				t.Errorf("parseLedger returned %+v, want %+v", got, want)
			}
			if l.Owner != "" && got.text() != e.Text {
				t.Errorf("its text is %q, want %q", got.text(), e.Text)
			}
		})
	}
}

func TestMirrorsAreRestoredAsTheExamplesSay(t *testing.T) {
	text, err := os.ReadFile("../../testdata/mirrors.json")
	if err != nil {
		t.Fatal(err)
	}
	type both struct {
		Storage, Mirror map[string]string
		Back            []string
	}
	var examples []struct {
		Name string
		Now  int64
		both
		Cleared bool
		Then    both
	}
	if err := json.Unmarshal(text, &examples); err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		t.Run(e.Name, func(t *testing.T) {
			storage, mirror := &Memory{items: e.Storage}, &Memory{items: e.Mirror}
			back, err := Restore("cart", storage, mirror, e.Now, e.Cleared)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(back)
			if got := (both{storage.items, mirror.items, append([]string{}, back...)}); !reflect.DeepEqual(got, e.Then) {
				t.Errorf("got %v, want %v", got, e.Then)
			}
		})
	}
}
