package engine

import (
	"fmt"
	"slices"
	"strings"
)

// unwritten is how long a browser takes at most to write what is in its storage.
const unwritten = anHour

// Restore does what restore in js/src/mirror.js does, which a test holds against it. mirror
// is what was read of the mirror, and none of its methods fails.
func Restore(name string, storage, mirror Storage, now int64, cleared bool) (restored []string, err error) {
	s := New(storage, name, new(Clock), 0)
	forgotten, begun, marked := s.watermark(storage)
	_, begunThere, mirrored := s.watermark(mirror)
	has := make(map[string]bool)
	owned := false // whether there is an item of the ledger's owner
	copied, _, _ := mirror.GetItem(s.ledgerKey())
	l := parseLedger(copied)
	keys, err := storage.Keys(s.prefix)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if _, ok := stampIn(key); !ok {
			continue
		}
		has[key] = true
		owned = owned || strings.HasPrefix(key, s.prefixOf(l.owner))
		if _, ok, _ := mirror.GetItem(key); !ok {
			text, _, err := storage.GetItem(key)
			if err != nil {
				return nil, err
			}
			_ = mirror.SetItem(key, text)
		}
	}
	var lost []string
	newest := now
	copies, _ := mirror.Keys(s.prefix)
	for _, key := range copies {
		if at, ok := stampIn(key); ok && !has[key] {
			lost = append(lost, key)
			newest = max(newest, at.Millis())
		}
	}
	if forgotten > now+maxAhead {
		forgotten = 0 // by a wrong clock
	}
	if marked {
		cleared = false
	} else {
		cleared = cleared || mirrored && begunThere == 0
		begun = now
		if cleared {
			forgotten = newest + 1
		}
	}
	// The latest first: without room for all, what removed something comes before that.
	slices.SortFunc(lost, func(a, b string) int {
		return strings.Compare(b[len(b)-stampLength:], a[len(a)-stampLength:])
	})
	for _, key := range lost {
		if at, _ := stampIn(key); cleared || at.Millis() < forgotten {
			_ = mirror.RemoveItem(key)
			continue
		}
		text, _, _ := mirror.GetItem(key)
		if err := storage.SetItem(key, text); err != nil {
			return restored, err
		}
		_ = mirror.SetItem(key, text) // it may be gone there by now
		restored = append(restored, key)
		owned = owned || strings.HasPrefix(key, s.prefixOf(l.owner))
	}

	said, ok, err := storage.GetItem(s.ledgerKey())
	if err != nil {
		return restored, err
	}
	switch {
	case ok:
		_ = mirror.SetItem(s.ledgerKey(), said)
	case l.owner != "" && owned:
		// It must not say what the server has, for that may not all be here.
		l = ledger{owner: l.owner, generation: strings.Repeat("0", writerDigits), active: l.active}
		if err := storage.SetItem(s.ledgerKey(), l.text()); err != nil {
			return restored, err
		}
		restored = append(restored, s.ledgerKey())
		_ = mirror.SetItem(s.ledgerKey(), l.text())
	default:
		_ = mirror.RemoveItem(s.ledgerKey())
	}

	text := watermarkText(forgotten, begun)
	_ = mirror.SetItem(s.watermarkKey(), text)
	return restored, storage.SetItem(s.watermarkKey(), text)
}

func watermarkText(forgotten, begun int64) string {
	return fmt.Sprintf("%013d %013d", forgotten, begun)
}

// Written returns the text of a watermark once the browser has written it, which by that
// time it has, and whether it was another.
func Written(text string, now int64) (string, bool) {
	forgotten, begun, ok := parseWatermark(text)
	if !ok || begun == 0 || now <= begun+unwritten {
		return text, false
	}
	return watermarkText(forgotten, 0), true
}

// watermark returns what the watermark in a storage says, if there is one.
func (s *Session) watermark(storage Storage) (forgotten, begun int64, ok bool) {
	text, _, _ := storage.GetItem(s.watermarkKey())
	return parseWatermark(text)
}

func parseWatermark(text string) (forgotten, begun int64, ok bool) {
	first, second, _ := strings.Cut(text, " ")
	forgotten, ok1 := parseMillis(first)
	begun, ok2 := parseMillis(second)
	if !ok1 || !ok2 {
		return 0, 0, false
	}
	return forgotten, begun, true
}

// stampIn returns the stamp in an item's key, whoever owns the item.
func stampIn(key string) (Stamp, bool) {
	_, name, _ := strings.Cut(key, "/")
	if tag, rest, ok := strings.Cut(name, "/"); ok && IsTag(tag) {
		name = rest
	}
	return ParseStamp(name)
}
