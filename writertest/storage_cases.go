package writertest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/session-interop/session-writer"
)

var storageRules = []rule[StorageHarness]{
	{"Storage", "An implementation MUST set an item as one step: whoever reads, in this process or another, finds the old text or the new one.", []testCase[StorageHarness]{
		{"one-step", "", oneStep},
	}},
	{"Storage", "It MUST be safe for concurrent use, MUST keep every key and text that is valid UTF-8 as it is, and MUST NOT keep what it was given when it returns an error.", []testCase[StorageHarness]{
		{"concurrent-use", "", concurrentUse},
		{"keys-as-they-are", "", keysAsTheyAre},
		{"texts-as-they-are", "", textsAsTheyAre},
		{"traps", "", traps},
	}},
	{"Storage", "Its errors MUST wrap ErrQuota when there is no room, and ErrDisabled when it is switched off or forbidden.", []testCase[StorageHarness]{
		{"a-text-too-long", "", textTooLong},
	}},
	{"GetItem", "GetItem returns the text of an item, and whether there is such an item.", []testCase[StorageHarness]{
		{"absent-or-empty", "", absentOrEmpty},
	}},
	{"SetItem", "SetItem sets the text of an item, and adds the item if it is not there.", []testCase[StorageHarness]{
		{"adds-and-replaces", "", addsAndReplaces},
	}},
	{"RemoveItem", "RemoveItem removes an item.", []testCase[StorageHarness]{
		{"only-that-one", "", removesOnlyThat},
	}},
	{"RemoveItem", "Removing one that is not there is no error.", []testCase[StorageHarness]{
		{"absent", "", removesAbsent},
	}},
	{"Keys", "Keys returns the keys that begin with prefix, each once, in any order.", []testCase[StorageHarness]{
		{"prefix", "", keysByPrefix},
		{"each-once", "", keysOnce},
		{"no-prefix", "", keysOfAll},
	}},
	{"Watch", `Watch calls changed with the key of every item that somebody else sets or removes, and with "" when any item may have changed.`, []testCase[StorageHarness]{
		{"items-set-elsewhere", elsewhere, watchElsewhere},
		{"every-watcher", elsewhere, everyWatcher},
	}},
	{"Watch", "An implementation MUST tell each watcher of every change that others make, and MUST NOT call changed for a change that is made after stop has returned.", []testCase[StorageHarness]{
		{"no-call-after-stop", elsewhere, noCallAfterStop},
	}},
}

// own begins every key that the cases use in a storage that may be shared;
// traps is the exception.
const own = "writertest/"

// clean removes what a case, or a run that was killed, has left behind.
func (h StorageHarness) clean() {
	for _, key := range h.keys(own) {
		h.remove(key)
	}
}

// The steps that cases are made of.

func (h StorageHarness) set(key, text string) {
	if err := h.Storage.SetItem(key, text); err != nil {
		failf("SetItem of %s returned the error %q, want none", quoted(key), err)
	}
}

func (h StorageHarness) remove(key string) {
	if err := h.Storage.RemoveItem(key); err != nil {
		failf("RemoveItem of %s returned the error %q, want none", quoted(key), err)
	}
}

func (h StorageHarness) get(key string) (string, bool) {
	text, ok, err := h.Storage.GetItem(key)
	if err != nil {
		failf("GetItem of %s returned the error %q, want none", quoted(key), err)
	}
	return text, ok
}

func (h StorageHarness) keys(prefix string) []string {
	keys, err := h.Storage.Keys(prefix)
	if err != nil {
		failf("Keys of %s returned the error %q, want none", quoted(prefix), err)
	}
	return keys
}

// keeps demands that the item has this text.
func (h StorageHarness) keeps(key, want string) {
	switch text, ok := h.get(key); {
	case !ok:
		failf("GetItem of %s found no item, want %s", quoted(key), quoted(want))
	case text != want:
		failf("GetItem of %s returned %s, want %s", quoted(key), quoted(text), quoted(want))
	}
}

func (h StorageHarness) lacks(key string) {
	if text, ok := h.get(key); ok || text != "" {
		failf("GetItem of %s, which is not there, returned %s and %t", quoted(key), quoted(text), ok)
	}
}

// lists demands that exactly these keys begin with prefix.
func (h StorageHarness) lists(prefix string, want ...string) {
	got := h.keys(prefix)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		failf("Keys of %s returned %s, want %s", quoted(prefix), brief(fmt.Sprintf("%q", got)), brief(fmt.Sprintf("%q", want)))
	}
}

func oneStep(ctx context.Context, h StorageHarness) {
	const key = own + "one step"
	texts := []string{strings.Repeat("a", 10_000), strings.Repeat("b", 20_000)}
	h.set(key, texts[0])
	var done atomic.Bool
	together(
		func() {
			defer done.Store(true)
			for n := range 200 {
				h.set(key, texts[n%2])
				runtime.Gosched()
			}
		},
		func() {
			for n := 0; n < 1000 && !done.Load(); n++ {
				if text, _ := h.get(key); !slices.Contains(texts, text) {
					failf("GetItem while others set the item returned %s, want the old text or the new", quoted(text))
				}
				runtime.Gosched()
			}
		},
	)
}

func concurrentUse(ctx context.Context, h StorageHarness) {
	var work []func()
	for i := range 8 {
		work = append(work, func() {
			prefix := fmt.Sprint(own, i, "/")
			for n := range 25 {
				key := fmt.Sprint(prefix, n)
				h.set(key, key)
				runtime.Gosched()
				h.keeps(key, key)
				if n%2 == 0 {
					h.remove(key)
				}
			}
			if keys := h.keys(prefix); len(keys) != 12 {
				failf("Keys of %q returned %q, want the 12 that were not removed", prefix, keys)
			}
		})
	}
	together(work...)
}

func keysAsTheyAre(ctx context.Context, h StorageHarness) {
	var want []string
	for _, key := range oddKeys {
		h.set(own+key, key)
		want = append(want, own+key)
	}
	for _, key := range oddKeys {
		h.keeps(own+key, key)
	}
	h.lists(own, want...)
	for _, key := range want {
		h.remove(key)
		h.lacks(key)
	}
	h.lists(own)
}

func textsAsTheyAre(ctx context.Context, h StorageHarness) {
	for i, text := range slices.Concat(oddKeys, []string{"", "\r\n", "\r", " a ", strings.Repeat("é", 50_000)}) {
		key := fmt.Sprint(own, i)
		h.set(key, text)
		h.keeps(key, text)
	}
}

// traps sets items under the very keys that are traps, without the prefix that
// would make them harmless: what localStorage["length"] means, and a leading
// U+FEFF, which TextDecoder strips. It puts back what was there.
func traps(ctx context.Context, h StorageHarness) {
	for _, key := range oddKeys {
		func() {
			if text, ok := h.get(key); ok {
				defer h.set(key, text)
			}
			defer h.remove(key)
			h.set(key, "text")
			h.keeps(key, "text")
			if n := count(h.keys(key), key); n != 1 {
				failf("Keys of %s returned that very key %d times, want once", quoted(key), n)
			}
			h.remove(key)
			h.lacks(key)
		}()
	}
}

func count(keys []string, key string) (n int) {
	for _, k := range keys {
		if k == key {
			n++
		}
	}
	return n
}

// textTooLong sets more than a browser has room for. A storage that has the
// room must keep it.
func textTooLong(ctx context.Context, h StorageHarness) {
	const key, other = own + "full", own + "more"
	long := strings.Repeat("8 bytes.", 1<<20)
	h.set(key, "old")
	switch err := h.Storage.SetItem(key, long); {
	case err == nil:
		h.keeps(key, long)
		return
	case !errors.Is(err, session.ErrQuota):
		failf("SetItem of 8 MiB returned the error %q, want one that wraps %q", err, session.ErrQuota)
	}
	h.keeps(key, "old")
	if err := h.Storage.SetItem(other, long); err == nil {
		failf("SetItem of 8 MiB returned an error for one key and none for another")
	}
	h.lacks(other)
	h.lists(own, key)
	h.set(key, "new")
	h.keeps(key, "new")
}

func absentOrEmpty(ctx context.Context, h StorageHarness) {
	const key = own + "item"
	h.lacks(key)
	h.set(key, "")
	h.keeps(key, "")
	h.lists(key, key)
	h.remove(key)
	h.lacks(key)
}

func addsAndReplaces(ctx context.Context, h StorageHarness) {
	const key, other = own + "item", own + "other"
	h.set(key, "first")
	h.set(other, "other")
	h.keeps(key, "first")
	for _, text := range []string{"a second that is longer", "short", "short", ""} {
		h.set(key, text)
		h.keeps(key, text)
	}
	h.keeps(other, "other")
}

func removesOnlyThat(ctx context.Context, h StorageHarness) {
	h.set(own+"a", "1")
	h.set(own+"a/b", "2")
	h.set(own+"A", "3")
	h.remove(own + "a")
	h.lacks(own + "a")
	h.keeps(own+"a/b", "2")
	h.keeps(own+"A", "3")
	h.lists(own, own+"a/b", own+"A")
}

func removesAbsent(ctx context.Context, h StorageHarness) {
	h.set(own+"a", "1")
	h.remove(own + "b")
	h.remove(own + "b")
	h.lists(own, own+"a")
}

// keysByPrefix has keys that pattern matching, folding and normalising would
// take for one another.
func keysByPrefix(ctx context.Context, h StorageHarness) {
	for _, key := range []string{"a/1", "a/2", "ab/1", "A/1", "x/" + own + "a/1", "a", "%/1", "_/1", "*/1", "é/1", "e\u0301/1", "\x00/1", "😀/1"} {
		h.set(own+key, "text")
	}
	h.lists(own+"a/", own+"a/1", own+"a/2")
	h.lists(own+"a", own+"a", own+"a/1", own+"a/2", own+"ab/1")
	h.lists(own+"a/1", own+"a/1")
	h.lists(own + "a/1/")
	h.lists(own+"A", own+"A/1")
	h.lists(own+"%", own+"%/1")
	h.lists(own+"_", own+"_/1")
	h.lists(own+"*", own+"*/1")
	h.lists(own+"é", own+"é/1")
	h.lists(own+"e", own+"e\u0301/1")
	h.lists(own+"\x00", own+"\x00/1")
	h.lists(own+"😀", own+"😀/1")
}

func keysOnce(ctx context.Context, h StorageHarness) {
	for range 3 {
		h.set(own+"a", "1")
		h.set(own+"b", "2")
	}
	h.lists(own, own+"a", own+"b")
	h.remove(own + "a")
	h.set(own+"a", "1")
	h.lists(own, own+"a", own+"b")
}

// keysOfAll leaves room for items of others.
func keysOfAll(ctx context.Context, h StorageHarness) {
	h.set(own+"a", "1")
	h.set(own+"b", "2")
	keys := h.keys("")
	for _, key := range []string{own + "a", own + "b"} {
		if n := count(keys, key); n != 1 {
			failf(`Keys of "" returned %q %d times, want once`, key, n)
		}
	}
}

// watch returns a channel that gets a value when w tells of the key.
func watch(w session.Watcher, key string) (told <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	stop, err := w.Watch(func(changed string) {
		if changed == key || changed == "" {
			select {
			case c <- struct{}{}:
			default: // must not block
			}
		}
	})
	switch {
	case err != nil:
		failf("Watch returned the error %q, want none", err)
	case stop == nil:
		failf("Watch returned no stop function")
	}
	return c, stop
}

// await waits for a call that may come late, but not for ever.
func await(ctx context.Context, told <-chan struct{}, key string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	select {
	case <-told:
		return
	case <-ctx.Done():
	}
	select { // both may have been there
	case <-told:
	default:
		failf("changed was not called for %q, which was set elsewhere", key)
	}
}

func watchElsewhere(ctx context.Context, h StorageHarness) {
	for i, key := range []string{"plain", `"quotes"`, "😀", "length", strings.Repeat("ten chars ", 100)} {
		key = own + key
		told, stop := watch(h.Storage.(session.Watcher), key)
		h.Elsewhere(key, fmt.Sprint("added ", i))
		await(ctx, told, key)
		stop()

		told, stop = watch(h.Storage.(session.Watcher), key)
		h.Elsewhere(key, fmt.Sprint("replaced ", i))
		await(ctx, told, key)
		stop()
	}
}

func everyWatcher(ctx context.Context, h StorageHarness) {
	const key = own + "item"
	a, stopA := watch(h.Storage.(session.Watcher), key)
	defer stopA()
	b, stopB := watch(h.Storage.(session.Watcher), key)
	defer stopB()
	h.Elsewhere(key, "text")
	await(ctx, a, key)
	await(ctx, b, key)
}

// noCallAfterStop changes an item only after stop, so no call can have been
// under way. A second watcher, made later, shows that the change was told.
func noCallAfterStop(ctx context.Context, h StorageHarness) {
	const key = own + "item"
	stopped, stop := watch(h.Storage.(session.Watcher), key)
	stop()
	told, stop := watch(h.Storage.(session.Watcher), key)
	defer stop()
	h.Elsewhere(key, "text")
	await(ctx, told, key)
	select {
	case <-stopped:
		failf("changed was called for %q, which was set elsewhere after stop", key)
	default:
	}
}
