package engine

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSaveIsOneWriteWhateverTheNumberOfKeys(t *testing.T) {
	for _, n := range []int{1, 20, 1000} {
		storage := new(lab)
		tab := openTab(t, storage)
		if err := tab.Listen(true); err != nil {
			t.Fatal(err)
		}
		saved := entries{}
		for i := range n {
			saved[fmt.Sprint("key ", i)] = fmt.Sprint(i)
		}
		gets := storage.gets
		tab.save(saved)
		if storage.sets != 1 || storage.gets != gets {
			t.Errorf("%d keys: %d writes and %d reads, want 1 and none", n, storage.sets, storage.gets-gets)
		}
		tab.has(saved)
	}
}

// Each allocation of a save costs a page some of its time.
func TestSaveAllocatesLittle(t *testing.T) {
	tab := openTab(t, new(Memory))
	if err := tab.Listen(true); err != nil {
		t.Fatal(err)
	}
	batch := Batch{Set: `{"a":1}`}
	const most = 8
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := tab.Save(tab.now, batch); err != nil {
			t.Fatal(err)
		}
	}); n > most {
		t.Errorf("%v allocations for a save, want %d at the most", n, most)
	} else {
		t.Logf("%v allocations", n)
	}
}

func TestWhatTheStorageWasGivenIsSaved(t *testing.T) {
	storage := new(lab)
	tab := openTab(t, storage)
	if err := tab.Listen(true); err != nil {
		t.Fatal(err)
	}
	if _, err := tab.Watch(tab.now, true); err != nil {
		t.Fatal(err)
	}
	const size = 3000
	want := entries{}
	for i := range 100 {
		value := fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", size))
		storage.given = fmt.Sprintf(`{"a":%s,"%d":1}`, value, i)
		want["a"], want[fmt.Sprint(i)] = value, "1"
		gets := storage.gets
		change := tab.write(Batch{Set: Given, GivenSize: len(storage.given), GivenKeys: fmt.Sprintf(`["a","%d"]`, i)})
		if !change.Empty() {
			t.Fatalf("who gave it is told of %v", change)
		}
		if i+1 < compactEvery && storage.gets > gets {
			t.Fatal("it is read back")
		}
	}
	if change := tab.refresh(); !change.Empty() {
		t.Errorf("after all was saved, %v is new", change)
	}
	openTab(t, storage).write(Batch{Remove: `["a","0"]`})
	delete(want, "a")
	delete(want, "0")
	if change := tab.refresh(); len(change.Set) > 0 || !slices.Equal(change.Removed, []string{"0", "a"}) {
		t.Errorf("after a removal elsewhere, the change is %v", change)
	}
	tab.has(want)
	openTab(t, storage).has(want)
	if storage.written < 100*size {
		t.Errorf("%d bytes are written", storage.written)
	}
	storage.given = "{}"
	sets := storage.sets
	tab.write(Batch{Set: Given, GivenSize: len(storage.given)})
	if storage.sets != sets {
		t.Error("an empty batch is written")
	}
}

// A listing passes over everything that the origin stores.
func TestSavesDoNotList(t *testing.T) {
	storage := new(lab)
	tab := openTab(t, storage)
	if err := tab.Listen(true); err != nil {
		t.Fatal(err)
	}
	lists := storage.lists
	want := entries{}
	for i := range 1000 {
		key := fmt.Sprint("key ", i%100)
		want[key] = fmt.Sprint(i)
		tab.save(entries{key: want[key]})
	}
	if storage.lists != lists {
		t.Errorf("%d listings", storage.lists-lists)
	}
	if n := len(storage.sessionKeys()); n > 2*compactEvery {
		t.Errorf("%d items are left", n)
	}
	tab.has(want)
}

func TestItemsThatPiledUpAreCompactedWithTheNextSave(t *testing.T) {
	storage := new(lab)
	want := entries{}
	for i := range 10 * pileUp {
		tab := openTab(t, storage)
		want[fmt.Sprint(i)] = "1"
		tab.save(entries{fmt.Sprint(i): "1"})
		if n := len(storage.sessionKeys()); n > pileUp+1 {
			t.Fatalf("%d items after %d tabs with one save each", n, i+1)
		}
	}
	openTab(t, storage).has(want)
}

// Nobody does so but a person with the developer tools.
func TestAnItemThatSomebodyRewroteIsReadAgain(t *testing.T) {
	plain, rereading := new(lab), new(rereader)
	for _, storage := range []struct {
		Storage
		*lab
	}{{plain, plain}, {rereading, &rereading.lab}} {
		tab := openTab(t, storage.Storage)
		if err := tab.Listen(true); err != nil {
			t.Fatal(err)
		}
		tab.save(entries{"a": "1"})
		tab.save(entries{"b": "1"})
		tab.has(entries{"a": "1", "b": "1"})
		gets := storage.gets
		tab.has(entries{"a": "1", "b": "1"})
		if _, ok := storage.Storage.(Rereader); ok && storage.gets != gets {
			t.Error("what is unchanged is read again")
		}
		first := storage.sessionKeys()[0]
		rewrite := func(text string) {
			t.Helper()
			if err := storage.Memory.SetItem(first, text); err != nil {
				t.Fatal(err)
			}
		}
		rewrite(strings.Replace(storage.items[first], `"a":1`, `"a":2`, 1))
		tab.has(entries{"a": "2", "b": "1"})
		rewrite(strings.Replace(storage.items[first], `"a":2`, `"c":3`, 1))
		tab.has(entries{"b": "1", "c": "3"})
		rewrite("damaged")
		tab.has(entries{"b": "1"})
	}
}

func TestWhatIsEmptyIsNotWritten(t *testing.T) {
	storage := new(lab)
	tab := openTab(t, storage)
	for _, b := range []Batch{{}, {Set: "{}"}, {Remove: "[]"}, {Set: "{}", Remove: "[]"}} {
		tab.write(b)
	}
	if storage.sets != 0 {
		t.Errorf("%d writes", storage.sets)
	}
}

func TestSaveMerges(t *testing.T) {
	var storage lab
	a, b := openTab(t, &storage), openTab(t, &storage)
	a.save(entries{"user": `"ada"`, "items": `1`})
	b.save(entries{"items": `2`, "theme": `"dark"`})
	b.now++
	a.now++
	a.remove("user")
	for _, tab := range []*tab{a, b} {
		tab.has(entries{"items": `2`, "theme": `"dark"`})
		if value, ok, err := tab.Get(tab.now, "items"); value != "2" || !ok || err != nil {
			t.Errorf("Get returned %q, %v, %v", value, ok, err)
		}
		if value, ok, err := tab.Get(tab.now, "user"); ok || err != nil {
			t.Errorf("Get of a removed key returned %q, %v, %v", value, ok, err)
		}
	}
}

func TestEntriesComeInTheOrderOfTheirSaving(t *testing.T) {
	tab := openTab(t, new(lab))
	tab.save(entries{"b": `1`})
	tab.save(entries{"c": `1`})
	tab.save(entries{"a": `1`})
	tab.save(entries{"b": `2`})
	got, err := tab.Load(tab.now)
	if want := []Entry{{"c", "1"}, {"a", "1"}, {"b", "2"}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Load returned %v, %v, want %v", got, err, want)
	}
}

// Nobody tells a tab of a storage that is no Watcher, so it looks before it
// saves: or else its entry would have the earlier stamp, and be lost.
func TestSaveComesAfterWhatIsThereThoughTheClockJumpedBack(t *testing.T) {
	var storage lab
	a, b := openTab(t, &storage), openTab(t, &storage)
	a.save(entries{"k": `"a"`})
	b.now -= 3_600_000
	b.save(entries{"k": `"b"`})
	a.has(entries{"k": `"b"`})
}

func TestSaveComesAfterWhatItWasToldOf(t *testing.T) {
	var storage lab
	a, b := openTab(t, &storage), openTab(t, &storage)
	if err := b.Listen(true); err != nil {
		t.Fatal(err)
	}
	a.save(entries{"k": `"a"`})
	if !b.See(storage.sessionKeys()[0]) || b.See("basket/x") {
		t.Error("See must report whether the item is the session's")
	}
	b.now -= 3_600_000
	b.save(entries{"k": `"b"`})
	a.has(entries{"k": `"b"`})
}

func TestClearLeavesNothingOfTheOldTexts(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	for range 5 {
		tab.save(entries{"token": `"secret"`})
	}
	tab.clear()
	tab.has(entries{})
	for key, text := range storage.items {
		if strings.Contains(text, "secret") {
			t.Errorf("%s: %s", key, text)
		}
	}
	tab.save(entries{"a": `1`})
	tab.has(entries{"a": `1`})
}

func TestCompactionBoundsTheItems(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	want := entries{}
	for i := range 2000 {
		e := entries{fmt.Sprint("key ", i%50): fmt.Sprint(i)}
		tab.now += int64(i % 3)
		tab.save(e)
		maps.Copy(want, e)
		if n := len(storage.items); n > 2*compactEvery {
			t.Fatalf("%d items after %d saves", n, i+1)
		}
	}
	tab.has(want)
}

// A load compacts, too: short visits never save often enough.
func TestManyShortVisitsDoNotPileUp(t *testing.T) {
	var storage lab
	want := entries{}
	for i := range 500 {
		tab := openTab(t, &storage)
		tab.now += int64(i)
		e := entries{fmt.Sprint("key ", i%7): fmt.Sprint(i)}
		maps.Copy(want, e)
		tab.save(e)
		tab.has(want)
		if n := len(storage.items); n > pileUp+1 {
			t.Fatalf("%d items after %d visits", n, i+1)
		}
	}
}

// The large item is neither read nor written while small ones are saved.
func TestSaveDoesNotPayForTheSizeOfTheSession(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	large := entries{}
	for i := range 10_000 {
		large[fmt.Sprint("key ", i)] = `"a value of some length"`
	}
	tab.save(large)
	size := storage.written
	storage.written = 0
	for i := range 200 {
		tab.now++
		tab.save(entries{"small": fmt.Sprint(i)})
	}
	if storage.written > size/10 {
		t.Errorf("200 small saves wrote %d bytes into a session of %d", storage.written, size)
	}
	large["small"] = "199"
	tab.has(large)
}

// All the same, what is written again and again does not stay for ever.
func TestLargeItemsAreMergedOnceTheSmallHaveGrown(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	value := `"` + strings.Repeat("x", 1000) + `"`
	for i := range 1000 {
		tab.now++
		tab.save(entries{fmt.Sprint("key ", i): value})
	}
	if n := len(storage.items); n > 2*compactEvery {
		t.Errorf("%d items", n)
	}
	if limit := 12 * 1000 * len(value); storage.written > limit {
		t.Errorf("%d bytes were written for %d: each more than a dozen times", storage.written, 1000*len(value))
	}
}

// Whenever a tab is killed, all that it has saved is there, and all that was
// there before: a compaction writes before it removes.
func TestKilledTabLosesNothing(t *testing.T) {
	for kill := 2; kill < 200; kill++ {
		var storage lab
		old := openTab(t, &storage)
		want := entries{}
		for i := range 10 {
			e := entries{fmt.Sprint("old ", i%4): fmt.Sprint(i)}
			old.save(e)
			maps.Copy(want, e)
		}
		old.remove("old 1")
		delete(want, "old 1")

		storage.killIn = kill
		victim := openTab(t, &storage)
		for i := range 60 {
			e := entries{"new": fmt.Sprint(i), fmt.Sprint("new ", i%10): fmt.Sprint(i)}
			if _, err := victim.Save(victim.now, setting(e)); err != nil {
				break
			}
			victim.Tidy(victim.now)
			maps.Copy(want, e)
		}
		storage.killIn = 0
		heir := openTab(t, &storage)
		heir.has(want)
		heir.compactAll(heir.now)
		heir.has(want)
	}
}

// Each step of a compaction is the moment at which another compacts, too.
func TestTabsMayCompactAtOnce(t *testing.T) {
	for at := range 20 {
		var storage lab
		a, b := openTab(t, &storage), openTab(t, &storage)
		want := entries{}
		for i := range 10 {
			e := entries{fmt.Sprint("key ", i%4): fmt.Sprint(i)}
			a.now++
			a.save(e)
			maps.Copy(want, e)
		}
		gets := 0
		storage.beforeGet = func(string) {
			if gets++; gets == at {
				storage.beforeGet = nil
				b.now = a.now
				b.compactAll(b.now)
			}
		}
		a.compactAll(a.now)
		storage.beforeGet = nil
		a.has(want)
		b.has(want)
	}
}

// An item that was listed is gone when it is read: what it said is in an item
// that was not listed.
func TestLoadDuringCompactionMissesNothing(t *testing.T) {
	for at := 1; at <= 8; at++ {
		var storage lab
		reader, compactor := openTab(t, &storage), openTab(t, &storage)
		want := entries{}
		for i := range 8 {
			e := entries{fmt.Sprint("key ", i): fmt.Sprint(i)}
			compactor.now++
			compactor.save(e)
			maps.Copy(want, e)
		}
		gets := 0
		storage.beforeGet = func(string) {
			if gets++; gets == at {
				storage.beforeGet = nil
				compactor.compactAll(compactor.now)
			}
		}
		reader.has(want)
	}
}

// What a load has read of items that are gone since does not count: here the
// removal of what it has read is forgotten before it comes to that.
func TestLoadDuringCompactionBringsNothingBack(t *testing.T) {
	for range 50 { // the items come in any order
		var storage lab
		reader, compactor := openTab(t, &storage), openTab(t, &storage)
		compactor.save(entries{"a": `1`, "b": `1`})
		compactor.remove("a")
		removal := "cart/" + string(compactor.newest)
		compactor.now += 2 * day
		reader.now = compactor.now
		storage.beforeGet = func(key string) {
			if key == removal {
				storage.beforeGet = nil
				compactor.compactAll(compactor.now)
				compactor.save(entries{"b": `2`})
				compactor.compactAll(compactor.now)
			}
		}
		reader.has(entries{"b": `2`})
	}
}

// What two tabs do, in whatever order, is what one map would have: of equal
// keys that which was saved last, as each sees the other's at once.
func TestTabsAgreeWithAMap(t *testing.T) {
	seeded(t, 200, func(t *testing.T, r *rand.Rand) {
		var storage lab
		tabs := []*tab{openTab(t, &storage), openTab(t, &storage), openTab(t, &storage)}
		want := entries{}
		now := int64(start)
		for range 300 {
			tab := tabs[r.IntN(len(tabs))]
			now += r.Int64N(3)
			tab.now = now - r.Int64N(2)*r.Int64N(1000)
			switch key := fmt.Sprint("key ", r.IntN(8)); r.IntN(12) {
			case 0:
				tab.clear()
				clear(want)
			case 1, 2:
				tab.remove(key, "key 0")
				delete(want, key)
				delete(want, "key 0")
			case 3:
				tab.compactAll(tab.now)
			case 4:
				tab.has(want)
			default:
				e := entries{key: fmt.Sprint(r.IntN(1000)), "last": fmt.Sprint(r.IntN(1000))}
				tab.save(e)
				maps.Copy(want, e)
			}
		}
		for _, tab := range tabs {
			tab.has(want)
		}
	})
}

func TestRefusedWriteChangesNothing(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	if _, err := tab.Watch(tab.now, true); err != nil {
		t.Fatal(err)
	}
	tab.save(entries{"a": `1`, "b": `2`})
	before := maps.Clone(storage.items)
	storage.room = storage.used() + 10
	change, err := tab.Save(tab.now, setting(entries{"a": `2`, "c": `"` + strings.Repeat("x", 1000) + `"`}))
	if !errors.Is(err, ErrQuota) || !change.Empty() {
		t.Errorf("Save returned %v, %v", change, err)
	}
	if !maps.Equal(storage.items, before) {
		t.Errorf("the items are %v, were %v", storage.items, before)
	}
	if c := tab.refresh(); !c.Empty() {
		t.Errorf("Refresh returned %v", c)
	}
	storage.room = 0
	tab.save(entries{"a": `2`})
	tab.has(entries{"a": `2`, "b": `2`})
}

func TestSaveMakesRoomByCompaction(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	want := entries{}
	for i := range 12 {
		e := entries{"k": fmt.Sprint(i), fmt.Sprint("key ", i): `1`}
		tab.save(e)
		maps.Copy(want, e)
	}
	// There is room for the merged item, but not for the save beside the rest.
	storage.room = storage.used() + 600
	e := entries{"long": `"` + strings.Repeat("x", 700) + `"`}
	tab.save(e)
	maps.Copy(want, e)
	tab.has(want)
}

// With too little room for one item that holds everything, smaller ones are
// merged until there is.
func TestCompactionWithLittleRoom(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	want := entries{}
	for i := range 8 {
		e := entries{fmt.Sprint("large ", i): `"` + strings.Repeat("x", 2000) + `"`}
		tab.save(e)
		maps.Copy(want, e)
	}
	for i := range 7 {
		e := entries{fmt.Sprint("small ", i): fmt.Sprint(i)}
		tab.save(e)
		maps.Copy(want, e)
	}
	storage.room = storage.used() + 900
	if !tab.compactAll(tab.now) {
		t.Error("nothing was merged")
	}
	tab.has(want)
	if n := len(storage.items); n > 9 {
		t.Errorf("%d items", n)
	}
	tab.save(entries{"more": `1`})
}

// Superseded items are removed without a write, so a full storage is no
// reason for it to stay so.
func TestDeadItemsGoWithoutAWrite(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	for i := range 10 {
		tab.save(entries{"k": fmt.Sprint(i)})
	}
	storage.room = storage.used()
	tab.save(entries{"k": `10`})
	tab.has(entries{"k": `10`})
}

const day = 24 * 60 * 60 * 1000

func TestRemovalsAreKeptForADay(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	tab.save(entries{"a": `1`, "b": `1`})
	late := maps.Clone(storage.items)
	tab.remove("a")

	tab.now += day - 1000
	tab.compactAll(tab.now)
	if err := storage.Memory.SetItem(slices.Collect(maps.Keys(late))[0], slices.Collect(maps.Values(late))[0]); err != nil {
		t.Fatal(err)
	}
	tab.has(entries{"b": `1`})

	tab.now += 2000
	tab.compactAll(tab.now) // of what it suppresses, too, so that its day begins
	tab.now += day
	tab.save(entries{"c": `1`})
	tab.compactAll(tab.now)
	if text := strings.Join(slices.Collect(maps.Values(storage.items)), ""); !strings.Contains(text, "remove") {
		t.Error("a removal was forgotten a day after what it suppressed")
	}
	tab.now += 2 * day
	tab.save(entries{"c": `1`})
	tab.compactAll(tab.now)
	tab.has(entries{"b": `1`, "c": `1`})
	for key, text := range storage.items {
		if strings.Contains(text, "remove") {
			t.Errorf("%s: %s", key, text)
		}
	}
}

// What a removal suppresses may be on its way into another item, so its going
// is recorded: by a removal that is written anew, from when its day counts.
// backwards is a storage that lists the newest items first.
type backwards struct{ lab }

func (b *backwards) Keys(prefix string) ([]string, error) {
	keys, err := b.lab.Keys(prefix)
	slices.Sort(keys)
	slices.Reverse(keys)
	return keys, err
}

// Of several items that say a removal, the newest tells how old it is.
func TestARemovalIsAsOldAsItsNewestItem(t *testing.T) {
	var storage backwards
	tab := openTab(t, &storage)
	tab.save(entries{"a": `1`})
	tab.remove("a")
	maps.DeleteFunc(storage.items, func(key, text string) bool { return !strings.Contains(text, "remove") })
	said := maps.Clone(storage.items)
	tab.now += keepRemovals + hour
	tab.load()
	tab.now += catchUp + 1
	for _, text := range said { // as another tab merged it, just now
		storage.items["cart/"+string(makeStamp(tab.now, 0, tab.writer))] = text
	}
	tab.Compact(tab.now)
	for _, text := range storage.items {
		if strings.Contains(text, "remove") {
			return
		}
	}
	t.Errorf("the removal is forgotten: %v", storage.items)
}

func TestGoingOfWhatIsSuppressedIsRecorded(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	tab.save(entries{"a": `1`})
	late := maps.Clone(storage.items)
	tab.remove("a")
	tab.now += 2 * day
	tab.compactAll(tab.now)
	tab.save(entries{"b": `1`})
	tab.compactAll(tab.now)
	maps.Copy(storage.items, late)
	tab.has(entries{"b": `1`})
}

// Only a compaction of all items may drop a removal: an item that is left
// alone may hold what it suppresses.
func TestOldRemovalsStayWhileLargeItemsDo(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	tab.save(entries{"a": `1`, "large": `"` + strings.Repeat("x", 100_000) + `"`})
	tab.remove("a")
	tab.now += 10 * day
	for i := range 100 {
		tab.save(entries{"k": fmt.Sprint(i)})
	}
	if _, ok := tab.load()["a"]; ok {
		t.Error("a removed key is back")
	}
}

// So may one that only a newer version can read.
func TestOldRemovalsStayWhileThereAreItemsOfAnotherFormat(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	tab.save(entries{"a": `1`})
	if err := storage.SetItem("cart/"+string(makeStamp(start, 0, "000000000000")), `{"format":2}`); err != nil {
		t.Fatal(err)
	}
	tab.remove("a")
	tab.now += 10 * day
	tab.save(entries{"b": `1`})
	tab.compactAll(tab.now)
	found := false
	for _, text := range storage.items {
		found = found || strings.Contains(text, `"remove":["a"]`)
	}
	if !found {
		t.Errorf("the removal is gone: %v", storage.items)
	}
}

// Items are removed one by one. What suppresses must not go before what it
// suppresses, wherever the tab is killed: here each of two items holds what
// the other one removes.
func TestKilledTabBringsNothingBack(t *testing.T) {
	for kill := 2; kill < 8; kill++ {
		for range 10 { // the items come in any order
			var storage lab
			tab := openTab(t, &storage)
			tab.save(entries{"a": `1`, "b": `1`})
			tab.now++
			both := setting(entries{"c": `1`})
			both.Remove = `["a"]`
			tab.write(both)
			tab.now++
			tab.clear()
			tab.save(entries{"a": `2`, "b": `2`, "c": `2`})
			tab.now++
			both.Set = `{"d":2}`
			tab.write(both)
			tab.now++
			tab.remove("c", "d")
			tab.save(entries{"e": `1`})
			want := entries{"b": `2`, "e": `1`}
			tab.has(want)

			tab.now += 2 * day
			storage.killIn = kill
			tab.compactAll(tab.now)
			storage.killIn = 0
			heir := openTab(t, &storage)
			heir.now = tab.now
			heir.has(want)
			for range 2 {
				heir.save(entries{"e": `1`})
				heir.compactAll(heir.now)
				heir.now += 2 * day
			}
			heir.save(entries{"e": `1`})
			heir.compactAll(heir.now)
			heir.has(want)
			for key, text := range storage.items {
				if strings.Contains(text, "remove") {
					t.Errorf("%s: %s", key, text)
				}
			}
		}
	}
}

func TestClearingsAreKeptForADay(t *testing.T) {
	var storage lab
	tab := openTab(t, &storage)
	tab.save(entries{"a": `1`})
	key := storage.sessionKeys()[0]
	late := storage.items[key]
	tab.clear()
	tab.save(entries{"b": `1`})
	tab.now += day - 1000
	tab.compactAll(tab.now)
	if err := storage.SetItem(key, late); err != nil {
		t.Fatal(err)
	}
	tab.has(entries{"b": `1`})
	tab.now += 2000
	tab.compactAll(tab.now)
	tab.has(entries{"b": `1`})
	tab.remove("b")
	tab.now += 2 * day
	tab.save(entries{"c": `1`})
	tab.remove("c")
	tab.now += 2 * day
	tab.compactAll(tab.now)
	tab.has(entries{})
}

func TestSessionIsOverAfterMaxAge(t *testing.T) {
	var storage lab
	tab := openAged(t, &storage, 1000)
	tab.save(entries{"a": `1`})
	tab.now += 1000
	tab.has(entries{"a": `1`})
	tab.now++
	tab.has(entries{})
	if n := len(storage.items); n != 0 {
		t.Errorf("%d items are left", n)
	}
	tab.save(entries{"b": `1`})
	tab.has(entries{"b": `1`})
}

func TestSaveAfterMaxAgeBeginsAnew(t *testing.T) {
	var storage lab
	openTab(t, &storage).save(entries{"a": `1`})
	tab := openAged(t, &storage, 1000)
	tab.now += 1001
	sets := storage.sets
	tab.save(entries{"b": `1`})
	if n := storage.sets - sets; n != 1 || len(storage.items) != 1 {
		t.Errorf("%d writes, and %d items", n, len(storage.items))
	}
	tab.has(entries{"b": `1`})
	// Also for those who never heard of a maximum age.
	openTab(t, &storage).has(entries{"b": `1`})
}

// Two tabs find the session over and begin anew at once: neither clears what
// the other saves.
func TestTabsBeginAnewAtOnce(t *testing.T) {
	var storage lab
	openTab(t, &storage).save(entries{"old": `1`})
	old := maps.Clone(storage.items)
	a, b := openAged(t, &storage, 1000), openAged(t, &storage, 1000)
	a.now += 1001
	b.now += 1010
	a.save(entries{"a": `1`})
	saved := maps.Clone(storage.items)
	storage.items = old // b does not see a's item yet
	b.save(entries{"b": `1`})
	maps.Copy(storage.items, saved)
	b.has(entries{"a": `1`, "b": `1`})
}

// A batch of the old session that turns up late stays over.
func TestLateBatchOfAnExpiredSession(t *testing.T) {
	var storage lab
	openTab(t, &storage).save(entries{"old": `1`})
	late := maps.Clone(storage.items)
	tab := openAged(t, &storage, 1000)
	tab.now += 1001
	tab.has(entries{})
	tab.save(entries{"new": `1`})
	maps.Copy(storage.items, late)
	tab.has(entries{"new": `1`})
}

// The clearing that ends a session that is over bears the time of the end, but
// is kept for a day from its writing.
func TestLateBatchOfASessionThatExpiredLongAgo(t *testing.T) {
	var storage lab
	openTab(t, &storage).save(entries{"old": `1`})
	late := maps.Clone(storage.items)
	tab := openAged(t, &storage, 2*day)
	tab.now += 5 * day
	tab.save(entries{"new": `1`})
	tab.save(entries{"newer": `1`})
	tab.compactAll(tab.now)
	maps.Copy(storage.items, late)
	tab.has(entries{"new": `1`, "newer": `1`})
}

// To remove something is to use the session, also when nothing is left of the
// removal but its time.
func TestForgottenRemovalsStillCountForTheAge(t *testing.T) {
	var storage lab
	tab := openAged(t, &storage, 7*day)
	tab.save(entries{"a": `1`, "b": `1`})
	tab.now += 3 * day
	tab.remove("b")
	tab.now += 2 * day
	tab.compactAll(tab.now)
	tab.now += 4 * day
	tab.has(entries{"a": `1`})
	tab.now += 2 * day
	tab.has(entries{})
}

// What is superseded goes without a new item when there is no room for one. But an item
// may alone tell when the session was used last.
func TestWithoutRoomTheAgeOfASessionIsKept(t *testing.T) {
	var storage lab
	const minute = 60 * 1000
	stamp := func(minutes int64) Stamp { return makeStamp(start+minutes*minute, 0, "0123456789ab") }
	for at, text := range map[Stamp]string{
		stamp(30): fmt.Sprintf(`{"format":1,"batches":[{"stamp":"%s","set":{"k":1}},{"stamp":"%s"}]}`, stamp(0), stamp(30)),
		stamp(1):  fmt.Sprintf(`{"format":1,"batches":[{"stamp":"%s","set":{"k":2}}]}`, stamp(1)),
	} {
		storage.seed()["cart/"+string(at)] = text
	}
	tab := openAged(t, &storage, hour)
	tab.now += 31 * minute
	storage.room = storage.used()
	tab.compactAll(tab.now)
	tab.now += 58 * minute
	tab.has(entries{"k": `2`})
	tab.now += 2 * minute
	tab.has(entries{})
}

func TestCompactionDoesNotProlongASession(t *testing.T) {
	var storage lab
	tab := openAged(t, &storage, 1000)
	tab.save(entries{"a": `1`})
	tab.save(entries{"b": `1`})
	tab.now += 900
	tab.compactAll(tab.now)
	tab.now += 200
	tab.has(entries{})
}

func TestUnreadableItemsAreLeftAlone(t *testing.T) {
	stamp := func(n int) string { return "cart/" + string(makeStamp(start, n, "0123456789ab")) }
	foreign := map[string]string{
		"cart/notes": "somebody else's",
		"cart/":      `{"format":1,"batches":[{"stamp":"1795373052123-0000-3f9a2c7e1b40","set":{"a":1}}]}`,
		stamp(1):     "",
		stamp(2):     `{"format":2,"batches":[]}`,
		stamp(3):     `{"format":1,"batches":[{"stamp":"1795373052123-0000-3f9a2c7e1b40","set":{"a":`,
		stamp(4):     "\x00\ufffd",
		"carts/x":    "of another session",
	}
	var storage lab
	for key, text := range foreign {
		if err := storage.SetItem(key, text); err != nil {
			t.Fatal(err)
		}
	}
	tab := openTab(t, &storage)
	for i := range 50 {
		tab.save(entries{"a": fmt.Sprint(i)})
	}
	tab.clear()
	tab.save(entries{"b": `1`})
	tab.compactAll(tab.now)
	tab.has(entries{"b": `1`})
	for key, text := range foreign {
		if got := storage.items[key]; got != text {
			t.Errorf("%s is %q, was %q", key, got, text)
		}
	}
	stats, err := tab.Stats(tab.now)
	bytes := 0
	for key, text := range storage.items {
		if strings.HasPrefix(key, "cart/") {
			bytes += units(key) + units(text)
		}
	}
	if want := (Stats{Entries: 1, Items: len(storage.items) - len(foreign), Bytes: bytes, Corrupt: 6}); err != nil || stats != want {
		t.Errorf("Stats returned %+v, %v, want %+v", stats, err, want)
	}
}

func TestBytesAreUTF16CodeUnits(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "é": 1, "日本": 2, "😀": 2, "a\x00": 2} {
		if got := units(text); got != want {
			t.Errorf("units(%q) returned %d, want %d", text, got, want)
		}
	}
}

func TestRefreshTellsWhatOthersDid(t *testing.T) {
	var storage lab
	here, there := openTab(t, &storage), openTab(t, &storage)
	there.save(entries{"before": `0`})
	if _, err := here.Watch(here.now, true); err != nil {
		t.Fatal(err)
	}
	tells := func(c Change, want Change) {
		t.Helper()
		if !reflect.DeepEqual(c, want) {
			t.Errorf("told %+v, want %+v", c, want)
		}
	}
	tells(here.refresh(), Change{})

	there.save(entries{"a": `1`, "b": `1`})
	there.remove("before")
	tells(here.refresh(), Change{Set: []Entry{{"a", "1"}, {"b", "1"}}, Removed: []string{"before"}})
	tells(here.refresh(), Change{})

	tells(here.save(entries{"a": `2`, "own": `1`}), Change{Set: []Entry{{"a", "2"}, {"own", "1"}}})
	tells(here.refresh(), Change{})

	// What has its value already is no change, but what is beside it is.
	tells(here.save(entries{"a": `2`}), Change{})
	there.save(entries{"a": `2`, "own": `1`})
	tells(here.refresh(), Change{})
	tells(here.save(entries{"a": `2`, "own": `2`}), Change{Set: []Entry{{"own", "2"}}})
	tells(here.remove("a", "absent"), Change{Removed: []string{"a"}})

	// Compaction is no change.
	there.compactAll(there.now)
	tells(here.refresh(), Change{})

	there.clear()
	there.save(entries{"b": `3`})
	tells(here.refresh(), Change{Cleared: true, Set: []Entry{{"b", "3"}}, Removed: []string{"own"}})
	tells(here.clear(), Change{Cleared: true, Removed: []string{"b"}})

	// Somebody else's localStorage.clear().
	here.save(entries{"c": `1`})
	clear(storage.items)
	tells(here.refresh(), Change{Cleared: true, Removed: []string{"c"}})

	if _, err := here.Watch(here.now, false); err != nil {
		t.Fatal(err)
	}
	there.save(entries{"d": `1`})
	tells(here.refresh(), Change{})
	tells(here.save(entries{"e": `1`}), Change{})
}

func TestStorageErrorsAreReturned(t *testing.T) {
	broken := &brokenStorage{}
	if _, err := Open(broken, "cart", new(Clock), 0); !errors.Is(err, ErrDisabled) {
		t.Errorf("Open returned %v", err)
	}
	tab := openTab(t, new(lab))
	tab.storage = broken
	_, saveErr := tab.Save(tab.now, setting(entries{"a": `1`}))
	_, loadErr := tab.Load(tab.now)
	_, _, getErr := tab.Get(tab.now, "a")
	_, statsErr := tab.Stats(tab.now)
	_, refreshErr := tab.Refresh(tab.now)
	_, watchErr := tab.Watch(tab.now, true)
	for call, err := range map[string]error{
		"Save": saveErr, "Load": loadErr, "Get": getErr, "Stats": statsErr, "Refresh": refreshErr,
		"Watch": watchErr, "Listen": tab.Listen(true),
	} {
		if !errors.Is(err, ErrDisabled) {
			t.Errorf("%s returned %v", call, err)
		}
	}
}

// A brokenStorage has been switched off.
type brokenStorage struct{ Storage }

func (brokenStorage) Keys(string) ([]string, error) { return nil, ErrDisabled }

func (brokenStorage) GetItem(string) (string, bool, error) { return "", false, ErrDisabled }

func TestStorageThatListsWhatItDoesNotHave(t *testing.T) {
	tab := openTab(t, &ghosts{})
	if _, err := tab.Load(tab.now); err != errUnstable {
		t.Errorf("Load returned %v", err)
	}
}

type ghosts struct{ Memory }

func (*ghosts) Keys(string) ([]string, error) {
	return []string{"cart/" + string(makeStamp(start, 0, "0123456789ab"))}, nil
}

// A key with a lone surrogate is listed as another, which is not there.
func TestForeignItemThatCannotBeReadIsNoReasonToListAgain(t *testing.T) {
	tab := openTab(t, &surrogates{})
	tab.save(entries{"a": `1`})
	tab.has(entries{"a": `1`})
	if stats, err := tab.Stats(tab.now); err != nil || stats.Corrupt != 1 {
		t.Errorf("Stats returned %+v, %v", stats, err)
	}
}

type surrogates struct{ Memory }

func (s *surrogates) Keys(prefix string) ([]string, error) {
	keys, err := s.Memory.Keys(prefix)
	return append(keys, "cart/\ufffd"), err
}

// An item that was read, and is gone when the list is read again, does not
// count: neither for Load nor for Get.
func TestItemGoneBetweenListings(t *testing.T) {
	var storage lab
	reader := openTab(t, &storage)
	reader.save(entries{"gone": "1"})
	gone := storage.sessionKeys()[0]
	reader.save(entries{"kept": "1"})
	reader.has(entries{"gone": "1", "kept": "1"})

	other := openTab(t, &storage)
	other.save(entries{"other": "1"})
	others := storage.sessionKeys()[2]
	read := make(map[string]bool)
	storage.beforeGet = func(key string) {
		read[key] = true
		if key == others && read[gone] {
			delete(storage.items, gone)
			delete(storage.items, others)
		}
	}
	for storage.items[gone] != "" { // until it is read before the other, as maps go
		clear(read)
		reader.read()
	}
	reader.has(entries{"kept": "1"})
	if value, ok, err := reader.Get(reader.now, "gone"); ok || err != nil {
		t.Errorf("Get returned %s, %v", value, err)
	}
}
