package engine

import (
	"maps"
	"testing"
)

// received has a tab take what a server sent.
func (b *tab) received(record, text string) Change {
	b.t.Helper()
	change, err := b.Receive(b.now, record, text)
	if err != nil {
		b.t.Fatal(err)
	}
	return change
}

func (b *tab) unsent(anew bool) Unsent {
	b.t.Helper()
	u, err := b.Unsent(anew)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// itemOf returns the text of an item that another device could have saved.
func itemOf(t *testing.T, now int64, saved entries) string {
	t.Helper()
	var storage Memory
	other := openTab(t, &storage)
	other.now = now
	other.save(saved)
	for _, text := range storage.items {
		return text
	}
	return ""
}

func TestUnsentIsWhatWasNotSent(t *testing.T) {
	var storage Memory
	b := openTab(t, &storage)
	b.save(entries{"a": "1"})
	first := b.unsent(false)
	if first.Cursor != "" || first.Texts == "" {
		t.Fatalf("before the first exchange: %+v", first)
	}
	b.save(entries{"b": "1"}) // while the first is on its way
	b.received("cursor"+first.Items, "")

	second := openTab(t, &storage).unsent(false)
	if second.Cursor != "cursor" {
		t.Errorf("the cursor is %q", second.Cursor)
	}
	_, records, _, err := ParseItems(second.Texts)
	if err != nil || len(records) != 1 || records[0].Key != "b" {
		t.Errorf("unsent is %+v, %v, want b", records, err)
	}
	b.received("cursor"+second.Items, "")
	if third := b.unsent(false); third.Texts != "" {
		t.Errorf("unsent is %s, want nothing", third.Texts)
	}
	if anew := b.unsent(true); anew.Cursor != "" || anew.Texts == "" {
		t.Errorf("anew is %+v", anew)
	}
}

// What somebody else put there is no record.
func TestForeignRecord(t *testing.T) {
	for _, record := range []string{"", "x", " ", "{}", "1795373052123-0000-3f9a2c7e1b40", "\x00 \xff"} {
		var storage Memory
		b := openTab(t, &storage)
		b.save(entries{"a": "1"})
		if err := storage.SetItem("/cart", record); err != nil {
			t.Fatal(err)
		}
		if u := b.unsent(false); u.Texts == "" {
			t.Errorf("with the record %q nothing is unsent", record)
		}
	}
}

func TestReceive(t *testing.T) {
	var storage lab
	b := openTab(t, &storage)
	b.save(entries{"a": "1", "b": "1"})
	if err := b.Watch(b.now, true); err != nil {
		t.Fatal(err)
	}
	// The other device's clock is an hour ahead.
	text := itemOf(t, b.now+60*60*1000, entries{"b": "2", "c": "2"})
	change := b.received("cursor", text)
	if want := (entries{"b": "2", "c": "2"}); !maps.Equal(asMap(change.Set), want) {
		t.Errorf("the change is %+v, want %v", change, want)
	}
	b.has(entries{"a": "1", "b": "2", "c": "2"})
}

// A save that was made after seeing another wins over it.
func TestSaveAfterReceive(t *testing.T) {
	b := openTab(t, new(Memory))
	b.received("cursor", itemOf(t, b.now+60*60*1000, entries{"a": "2"}))
	b.save(entries{"a": "3"})
	b.has(entries{"a": "3"})
}

func TestReceiveWhatIsKnownWritesNoItem(t *testing.T) {
	var storage lab
	b := openTab(t, &storage)
	text := itemOf(t, b.now, entries{"a": "1"})
	b.received("cursor", text)
	sets := storage.sets
	b.received("cursor", text)
	if storage.sets != sets+1 { // the record
		t.Errorf("%d items were written", storage.sets-sets)
	}
}

func TestReceiveRefusesWhatIsNoItem(t *testing.T) {
	for _, text := range []string{"x", "[]", "{}", `{"format":2,"batches":[]}`, `{"format":1,"batches":[]}`} {
		var storage lab
		b := openTab(t, &storage)
		b.save(entries{"a": "1"})
		if _, err := b.Receive(b.now, "cursor", text); err == nil {
			t.Errorf("%s was received", text)
		}
		b.has(entries{"a": "1"})
		if u := b.unsent(false); u.Cursor != "" || u.Texts == "" {
			t.Errorf("after %s unsent is %+v", text, u)
		}
	}
}

func TestReceiveWithoutRoom(t *testing.T) {
	var storage lab
	b := openTab(t, &storage)
	b.save(entries{"a": "1"})
	b.unsent(false)
	storage.room = storage.used() + 20
	if _, err := b.Receive(b.now, "cursor", itemOf(t, b.now, entries{"b": "1"})); err != ErrQuota {
		t.Errorf("Receive returned %v, want ErrQuota", err)
	}
	b.has(entries{"a": "1"})
	if u := b.unsent(false); u.Cursor != "" {
		t.Errorf("the cursor is %q", u.Cursor)
	}
}
