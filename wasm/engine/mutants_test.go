// Not in a browser, where there is no go command.

//go:build !js

package engine

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mutants are mistakes that are easily made. Each is put in the place of what
// is right, in a copy of the file that only the compiler sees.
var mutants = []struct {
	name, file, right, wrong string
}{
	{"one stamp for all entries of a merged item", "compact.go",
		"encode(merged)",
		"encode(func() state { for key, v := range merged.entries { v.stamp = merged.newest; merged.entries[key] = v }; return merged }())"},
	{"compaction removes an item that it did not read", "compact.go",
		"return s.remove(kept) || freed",
		"keys, _ := s.storage.Keys(s.prefix); for _, key := range keys { if key < s.prefix+string(s.clock.Tick(now, s.writer)) { if it := s.items[key]; it == nil || it.text == \"\" { s.storage.RemoveItem(key) } } }; return s.remove(kept) || freed"},
	{"removals are forgotten at once", "engine.go",
		"keepRemovals = 24*60*60*1000 + dropWithin",
		"keepRemovals = 0"},
	{"removals are forgotten while other items are left", "compact.go",
		"by.forgettable(before) && s.areAll(kept)",
		"by.forgettable(before)"},
	{"a removal is forgotten before what it suppresses is gone", "compact.go",
		"!s.active && s.carried < before",
		"s.carried < before"},
	{"the clock forgets what it saw", "stamp.go",
		"seen <= last || c.last.CompareAndSwap(last, seen)",
		"seen+last >= 0"},
	{"the clock follows the wall clock back", "stamp.go",
		"			next = max(next, now<<counterBits)\n",
		"			next = max(next&maxCounter, now<<counterBits)\n"},
	{"ties are broken by arrival", "state.go",
		"ok && !had.less(v)",
		"ok && v.stamp[:millisDigits] < had.stamp[:millisDigits]"},
	{"compaction removes before it writes", "compact.go",
		"		if s.storage.SetItem(key, text) != nil {",
		"		s.remove(kept)\n		if s.storage.SetItem(key, text) != nil {"},
	{"compaction removes though its write was refused", "compact.go",
		"		if s.storage.SetItem(key, text) != nil {\n			return freed\n		}",
		"		s.storage.SetItem(key, text)"},
	{"superseded is what has any newer entry", "state.go",
		"		if merged.entries[r.key] == r.version {\n			return true\n		}\n	}\n	return false",
		"		if merged.entries[r.key] != r.version {\n			return false\n		}\n	}\n	return true"},
	{"a clearing is lost in compaction", "compact.go",
		"merged.add(it.says)",
		"it.says.cleared = \"\"; merged.add(it.says)"},
	{"a load does not list again when items are gone", "engine.go",
		"				complete = false\n",
		"				readings[key] = &item{key: key, err: errDamaged}\n"},
	{"a load keeps what it read of items that are gone", "engine.go",
		"readings[it.key] != it",
		"readings[it.key] == nil && s == nil"},
	{"an item is written again in its place", "compact.go",
		"s.prefix+string(s.clock.Tick(now, s.writer)), encode(merged)",
		"s.prefix+string(merged.newest), encode(merged)"},
	{"a load compacts nothing and a save neither", "engine.go",
		"compactEvery = 16",
		"compactEvery = 1 << 30"},
}

// The simulation is worth something if it finds out every mistake. Those that
// take it millions of operations have a test of their own in engine_test.go.
func TestSimulationCatchesMutants(t *testing.T) {
	caught := regexp.MustCompile(`schedule (\d+), -sim\.seed (\d+): after \d+ steps: (.*)`)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			source, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), m.right); n != 1 {
				t.Fatalf("%s has %q %d times, want once", m.file, m.right, n)
			}
			mutant := filepath.Join(folder, m.file)
			if err := os.WriteFile(mutant, []byte(strings.Replace(string(source), m.right, m.wrong, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			original, err := filepath.Abs(m.file)
			if err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
			if err != nil {
				t.Fatal(err)
			}
			overlayFile := filepath.Join(folder, "overlay.json")
			if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("go", "test", "-count=1", "-vet=off", "-overlay", overlayFile, "-run", "^TestSimulation$", ".", "-sim.ops", "20000000").CombinedOutput()
			found := caught.FindSubmatch(out)
			switch {
			case err == nil:
				t.Errorf("not caught: %s", out)
			case found == nil:
				t.Errorf("failed otherwise: %s", out)
			default:
				t.Logf("caught by schedule %s, -sim.seed %s: %.100s", found[1], found[2], found[3])
			}
		})
	}
}
