// Not in a browser, where there is no SQLite.

//go:build !js

package engine_test

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/session-interop/session-writer/internal/engine"
)

// The mirror. js/src/mirror.js is what is modelled: a transaction has what a tab changed in
// one go, and a tab's transactions are written in their order.

const watermarkKey = "/cart/mirror"

var errNotRestored = errors.New("what was lost is not back")

// mayForget fails before what was lost is back. Without it, what removed some of that might
// be forgotten.
func (t *tab) mayForget() error {
	if !t.forgets {
		return errNotRestored
	}
	return nil
}

// begin begins a transaction with what was noted, or finds out that somebody has cleared
// the storage.
func (t *tab) begin() {
	if _, marked := t.view[watermarkKey]; t.restored && !marked {
		t.restored, t.emptied = false, true
	}
	if text, another := engine.Written(t.view[watermarkKey], t.device.now()); another && t.restored {
		t.change(change{by: t, key: watermarkKey, text: text, kind: 's'})
		t.view[watermarkKey] = text
	}
	if t.restored && len(t.noted) > 0 {
		t.transactions = append(t.transactions, t.noted)
		t.noted = nil
	}
}

// commit writes the next n transactions.
func (t *tab) commit(n int) {
	d := t.device
	for _, transaction := range t.transactions[:n] {
		for _, c := range transaction {
			if c.kind == 's' {
				d.mirror[c.key] = c.text
			} else {
				delete(d.mirror, c.key)
				d.replaced[c.key] = true
			}
		}
	}
	t.transactions = t.transactions[n:]
}

// restore reads the mirror and later, as that takes time, restores what was lost.
func (t *tab) restore() {
	w, d := t.device.world, t.device
	if t.copied == nil {
		t.copied = maps.Clone(d.mirror)
		return
	}
	m := &copied{tab: t, items: t.copied}
	t.copied = nil
	for i, c := range t.noted {
		// What is not here any more was removed, or cleared, and not lost.
		if _, here := t.view[c.key]; !here {
			delete(m.items, c.key)
			t.noted[i].kind = 'r'
		}
	}
	t.restoring = true
	restored, err := engine.Restore("cart", t, m, d.now(), t.emptied)
	t.restoring = false
	w.note("%s restores what was lost: %v", t.name, restored)
	for _, key := range restored {
		t.See(key)
	}
	if errors.Is(err, engine.ErrQuota) && d.room > 0 {
		return
	}
	if err != nil {
		w.fail("%s: restore: %v", t.name, err)
	}
	if t.emptied {
		d.lose("") // also what another tab has mirrored since
	}
	at, _, _ := strings.Cut(t.view[watermarkKey], " ")
	t.See("cart/" + at + "-0000-000000000000") // what is saved from now on is later
	t.restored, t.forgets, t.emptied = true, true, false
}

// A copied is what a tab has read of the mirror.
type copied struct {
	tab   *tab
	items map[string]string
}

func (c *copied) GetItem(key string) (string, bool, error) {
	text, ok := c.items[key]
	return text, ok, nil
}

func (c *copied) Keys(prefix string) ([]string, error) {
	var keys []string
	for key := range c.items {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

func (c *copied) SetItem(key, text string) error {
	c.items[key] = text
	c.tab.noted = append(c.tab.noted, change{key: key, text: text, kind: 's'})
	return nil
}

func (c *copied) RemoveItem(key string) error {
	delete(c.items, key)
	c.tab.noted = append(c.tab.noted, change{key: key, kind: 'r'})
	return nil
}

// settle has tabs restore what was lost, and checks that the mirror has nothing else.
func (d *device) settle(t *tab) {
	t.mirrors = true
	for _, t := range d.open() {
		for t.mirrors && !t.restored {
			t.restore()
		}
		t.begin()
		d.meet()
	}
	// It may lack what a tab has put back that another had removed, and which says nothing
	// new. What was removed is not there.
	for key := range d.mirror {
		if _, ok := d.truth[key]; !ok {
			d.world.fail("MIRROR: %s has %s, which is gone", d.name, key)
		}
	}
}
