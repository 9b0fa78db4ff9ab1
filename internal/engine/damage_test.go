package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
)

// damage returns an item's text with something wrong with it, mostly.
func damage(r *rand.Rand, text string) string {
	at := r.IntN(len(text))
	member := func() string { // some member of some object in it
		parts := strings.Split(text, ",")
		return parts[r.IntN(len(parts))]
	}
	switch r.IntN(10) {
	case 0: // a bit that flipped
		damaged := []byte(text)
		damaged[at] ^= 1 << r.IntN(8)
		return string(damaged)
	case 1: // a write that was cut short
		return text[:at]
	case 2: // or lost its beginning
		return text[at:]
	case 3: // a part twice
		return text[:at] + text[at/2:]
	case 4: // members in another order, or twice
		return strings.Replace(text, member(), member()+","+member(), 1)
	case 5: // a number out of range
		return strings.Replace(text, "1", "1"+strings.Repeat("0", r.IntN(400))+"e999", 1)
	case 6: // nested deeply
		n := 1 << r.IntN(17)
		return text[:at] + strings.Repeat("[", n) + text[at:]
	case 7: // nested deeply, and well
		n := 1 << r.IntN(17)
		return strings.Replace(text, ":1", ":"+strings.Repeat("[", n)+strings.Repeat("]", n), 1)
	case 8: // megabytes of one string
		return text[:at] + strings.Repeat("x", 1<<r.IntN(22)) + text[at:]
	default: // something else altogether
		return []string{"", "null", "0", `"`, "[]", "{}", "\x00", "\ufffd", `{"format":1}`, `{"format":2,"batches":[]}`}[r.IntN(10)]
	}
}

// Damaged items are left where they are and counted, and all that intact items
// say is loaded, before and after compaction.
func TestDamage(t *testing.T) {
	seeded(t, 100, func(t *testing.T, r *rand.Rand) {
		var storage lab
		tab := openTab(t, &storage)
		intact := entries{}
		for i := range 10 {
			e := entries{fmt.Sprint("intact ", i%7): fmt.Sprint(i)}
			tab.save(e)
			maps.Copy(intact, e)
		}
		damaged := make(map[string]string)
		unreadable := 0
		for i := range 50 {
			at := makeStamp(start, i, "0123456789ab")
			text := damage(r, endItem(appendBatch(nil, at, Batch{
				Set:    fmt.Sprintf(`{"victim %d":1,"other victim":{"a":[1,2,"\\u00e9"]}}`, i),
				Remove: `["removed victim"]`,
			})))
			key := tab.prefix + string(at)
			if err := storage.SetItem(key, text); err != nil {
				t.Fatal(err)
			}
			if _, err := decode(text); err != nil {
				damaged[key] = text
				unreadable++
			}
		}
		check := func(when string) {
			t.Helper()
			got := tab.load()
			for key, value := range intact {
				if got[key] != value {
					t.Errorf("%s: %s is %q, want %q", when, key, got[key], value)
				}
			}
			for key := range got {
				// A key may be damaged, too, but then it is no other's.
				if _, ok := intact[key]; !ok && strings.HasPrefix(key, "intact") {
					t.Errorf("%s: there is a key %q", when, key)
				}
			}
			stats, err := tab.Stats(tab.now)
			if err != nil || stats.Corrupt != unreadable {
				t.Errorf("%s: Stats returned %+v, %v, want %d corrupt", when, stats, err, unreadable)
			}
			for key, text := range damaged {
				if storage.items[key] != text {
					t.Errorf("%s: the damaged item %s has changed", when, key)
				}
			}
		}
		check("before compaction")
		tab.compactAll(tab.now)
		check("after compaction")
		for i := range 40 {
			e := entries{fmt.Sprint("intact ", i%7): fmt.Sprint(i)}
			tab.save(e)
			maps.Copy(intact, e)
		}
		check("after more saves")
	})
}
