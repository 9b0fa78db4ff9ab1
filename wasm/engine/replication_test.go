package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// Several devices, each with a storage and tabs as in TestSimulation, exchange
// a session with a server. Requests and answers get lost, answers are taken
// late or by nobody, devices are offline for days, and the server may lose all
// that it had.
func TestReplication(t *testing.T) { runSchedules(t, replicate) }

func replicate(seed uint64, steps int) (ops int, err error) {
	r := rand.New(rand.NewPCG(seed, 1))
	if own := 50 + r.IntN(400); steps == 0 {
		steps = own
	}
	server := &simServer{}
	var devices []*world
	for range 2 + r.IntN(2) {
		w := newWorld(r)
		w.maxAge, w.server, w.fills = 0, server, false
		if len(devices) > 0 {
			w.written, w.versions = devices[0].written, devices[0].versions
			w.nights = devices[0].nights
		}
		devices = append(devices, w)
	}
	// What a server has lost, and everybody else forgotten, is no more: a
	// removal, say.
	resets := !devices[0].nights && r.IntN(2) == 0

	w, step := devices[0], 0
	defer func() {
		for _, w := range devices {
			ops += w.ops
		}
		err = w.broken(step, recover())
	}()
	for _, w = range devices {
		w.openTab().exchange() // before that, removals are forgotten after a day
	}
	for step = 1; step <= steps; step++ {
		time := w.time
		w = devices[r.IntN(len(devices))]
		w.time = max(w.time, time)
		if resets && r.IntN(100) == 0 {
			*server = simServer{epoch: server.epoch + 1}
		}
		w.step()
		server.check(w)
	}

	for range 2 {
		for _, w = range devices {
			t := w.openTab()
			for range 2 {
				t.exchange()
				for len(t.received) > 0 {
					t.receive()
				}
			}
		}
	}
	for _, w = range devices {
		t := w.openTab()
		t.check()
		got, err := t.Load(t.now())
		if want := asMap(w.written.live()); err != nil || !maps.Equal(asMap(got), want) {
			w.fail("a device ends with %v, %v, want %v", got, err, want)
		}
	}
	if got, want := asMap(server.state.live()), asMap(w.written.live()); !maps.Equal(got, want) {
		w.fail("the server ends with %v, want %v", got, want)
	}
	return ops, nil
}

// A simServer is what a server keeps of a session.
type simServer struct {
	epoch    int
	state    state
	versions []string // the keys that were merged, in that order
}

// exchange reports whether the server knew the cursor.
func (s *simServer) exchange(cursor, texts string) (next, text string, known bool) {
	since := 0
	if cursor != "" {
		epoch := 0
		fmt.Sscanf(cursor, "%d-%d", &epoch, &since)
		if epoch != s.epoch || since > len(s.versions) {
			return "", "", false
		}
	}
	sent := make(map[string]version)
	if texts != "" {
		cleared, records, unreadable, err := ParseItems(texts)
		if err != nil || unreadable > 0 {
			panic(fmt.Errorf("sent %s: %d, %v", texts, unreadable, err))
		}
		if cleared > s.state.cleared {
			s.state.clear(cleared)
			s.versions = append(s.versions, "")
		}
		for _, r := range records {
			v := version{r.Stamp, r.Value}
			sent[r.Key] = v
			if s.state.set(r.Key, v); s.state.entries[r.Key] == v {
				s.versions = append(s.versions, r.Key)
			}
		}
	}
	var cleared Stamp
	var records []Record
	for _, key := range s.versions[since:] {
		v, ok := s.state.entries[key]
		if key == "" {
			cleared = s.state.cleared
		} else if ok && sent[key] != v {
			records = append(records, Record{key, v.stamp, v.value})
		}
	}
	return fmt.Sprintf("%d-%d", s.epoch, len(s.versions)), FormatItem(cleared, records), true
}

// check demands that the server has no batch in part.
func (s *simServer) check(w *world) {
	for g := range simGroups {
		group := fmt.Sprintf("group %d/", g)
		values := make(map[string]bool)
		for i := range simGroupSize {
			values[s.state.entries[group+fmt.Sprint(i)].value] = true
		}
		if len(values) > 1 {
			w.fail("the server has group %d in part: %v", g, values)
		}
	}
}

// A simReceipt is what a tab is to take of an exchange.
type simReceipt struct {
	record, text string
	at           int64
}

// exchange begins an exchange, or ends one.
func (t *simTab) exchange() {
	w := t.world
	if len(t.received) > 0 && w.r.IntN(3) > 0 {
		if w.r.IntN(8) == 0 {
			t.killIn = 1 + w.r.IntN(25)
		}
		t.receive()
		return
	}
	for _, anew := range []bool{false, true} {
		u, err := t.Unsent(anew)
		if err != nil {
			w.fail("%s: Unsent: %v", t.name, err)
		}
		next, text, known := w.server.exchange(u.Cursor, u.Texts)
		if !known {
			if anew {
				w.fail("%s: the server does not know the cursor %q", t.name, u.Cursor)
			}
			continue
		}
		w.note("%s at %s sends %s and is sent %s up to %s", t.name, u.Cursor, u.Texts, text, next)
		t.received = append(t.received, simReceipt{next + u.Items, text, w.time})
		return
	}
}

// receive takes what the server sent: mostly the first of it.
func (t *simTab) receive() {
	w := t.world
	n := w.r.IntN(len(t.received))
	got := t.received[n]
	t.received = append(t.received[:n:n], t.received[n+1:]...)
	if w.time-got.at > simDelay {
		return // it may bring back, until the next, what was removed and forgotten
	}
	w.note("%s takes %s %s", t.name, got.record, got.text)
	if _, err := t.Receive(t.now(), got.record, got.text); err != nil {
		w.fail("%s: Receive: %v", t.name, err)
	}
	if got.text != "" {
		says, err := decodeState(got.text)
		if err != nil {
			w.fail("the server sends %s: %v", got.text, err)
		}
		t.known.merge(says)
	}
	t.Tidy(t.now())
}
