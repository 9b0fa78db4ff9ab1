package load

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/session-interop/session-writer/web/live"
	"github.com/session-interop/session-writer/web/sqlstore"
)

// A listener is a device's socket.
type listener struct {
	conn *websocket.Conn
	told chan time.Time // when it was told of changes
}

// listen opens a socket of the owner of a number, which sends a ping at every interval.
func listen(b *testing.B, to served, number int) *listener {
	b.Helper()
	conn, _, err := websocket.Dial(ctx, to.url+"/sessions/live", &websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {cookieOf(number)}}})
	if err != nil {
		b.Fatal(err)
	}
	l := &listener{conn, make(chan time.Time, 100)}
	go func() {
		for {
			_, text, err := conn.Read(ctx)
			if err != nil {
				return
			}
			if !bytes.Equal(text, []byte("pong")) {
				l.told <- time.Now()
			}
		}
	}()
	go func() {
		time.Sleep(rand.N(live.PingInterval)) // as they do not all come at once
		for conn.Write(ctx, websocket.MessageText, []byte("ping")) == nil {
			time.Sleep(live.PingInterval)
		}
	}()
	return l
}

// next returns when it was told of the next change.
func (l *listener) next(b *testing.B) time.Time {
	b.Helper()
	patient, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	select {
	case at := <-l.told:
		return at
	case <-patient.Done():
		b.Fatal("a device is not told of a change")
		return time.Time{}
	}
}

// BenchmarkLive has many owners listen, one of them with many devices, and measures what that
// takes while nothing happens, and how long it is until they are told of a save.
func BenchmarkLive(b *testing.B) {
	const owners, devices, clients, entries, rounds = 5000, 50, 8, 1, 100
	on := embedded(b)
	address := on.address()
	grow(b, address, 0, owners, entries)
	v := visitsOf(b, on, address, clients, entries)
	everybody := func(visit func(number int)) {
		next := make(chan int)
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				for number := range next {
					visit(number)
				}
			})
		}
		for number := range owners {
			next <- number
		}
		close(next)
		all.Wait()
	}
	var saved atomic.Int64
	save := func(number int) (began time.Time) {
		began = time.Now()
		n := int(saved.Add(1)) // or two saves in one millisecond would be the same
		query := "&owner=" + sqlstore.Tag(idOf(number)) + "&cursor=" + cursorOf(number, entries)
		if _, err := v.post(query, cookieOf(number), item(n, 1, `"key0":`+value(n))); err != nil {
			b.Error(err)
		}
		return began
	}
	everybody(func(number int) { save(number) }) // so that it has what it keeps of owners

	pid := v.to.pids[0]
	v.to.collect(b)
	before, used := memory(b, pid), cpu(b, pid)
	listeners := make([]*listener, owners)
	everybody(func(number int) { listeners[number] = listen(b, v.to, number) })
	opened := memory(b, pid) - before
	opening := cpu(b, pid) - used
	v.to.collect(b)
	kept := memory(b, pid) - before

	const rest = time.Minute
	used = cpu(b, pid)
	time.Sleep(rest)
	resting := cpu(b, pid) - used
	rested := memory(b, pid) - before

	many := []*listener{listeners[0]}
	for range devices - 1 {
		many = append(many, listen(b, v.to, 0))
	}
	var untilAll []time.Duration
	for range rounds {
		began := save(0)
		last := began
		for _, l := range many {
			if at := l.next(b); at.After(last) {
				last = at
			}
		}
		untilAll = append(untilAll, last.Sub(began))
	}

	began := make([]time.Time, owners)
	used = cpu(b, pid)
	everybody(func(number int) { began[number] = save(number) })
	var untilTold []time.Duration
	first, last := began[0], began[0]
	for number, l := range listeners {
		at := l.next(b)
		untilTold = append(untilTold, at.Sub(began[number]))
		if at.After(last) {
			last = at
		}
	}
	saving := cpu(b, pid) - used
	for _, l := range append(listeners, many[1:]...) {
		_ = l.conn.CloseNow()
	}

	slices.Sort(untilAll)
	slices.Sort(untilTold)
	millis := func(d time.Duration) string { return number(d.Seconds() * 1000) }
	each := func(bytes int) string { return number(float64(bytes) / owners / 1000) }
	publish(b, "live", fmt.Sprintf("%s on %d cores, %s.\n\n", strings.Replace(runtime.Version(), "go", "Go ", 1), runtime.NumCPU(), on.name)+table(
		[]string{fmt.Sprintf("with sockets of %s owners", count(owners)), "", "goal"},
		[]string{"memory of a socket, KB", each(kept), "16"},
		[]string{"the same before Go has collected what opening it took", each(opened), ""},
		[]string{"the same after a minute", each(rested), ""},
		[]string{"CPU of opening a socket, ms", number(opening.Seconds() * 1000 / owners), ""},
		[]string{"CPU while nothing happens but pings, % of a core", number(resting.Seconds() / rest.Seconds() * 100), ""},
		[]string{fmt.Sprintf("from a save until all %d devices of an owner are told, ms, p50", devices), millis(untilAll[len(untilAll)/2]), ""},
		[]string{"the same, p99", millis(untilAll[len(untilAll)*99/100]), ""},
		[]string{fmt.Sprintf("until %s owners are told of %s saves by %d clients, s", count(owners), count(owners), clients), number(last.Sub(first).Seconds()), ""},
		[]string{"from one of these saves until its owner is told, ms, p50", millis(untilTold[len(untilTold)/2]), ""},
		[]string{"the same, p99", millis(untilTold[len(untilTold)*99/100]), ""},
		[]string{"CPU of one of these saves, ms", number(saving.Seconds() * 1000 / owners), ""},
	))
}

// memory returns how much memory a process has, in bytes: VmRSS (proc(5), /proc/pid/status).
func memory(b *testing.B, pid int) int {
	b.Helper()
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	line, _, _ := strings.Cut(after, "\n")
	kilobytes, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(line), " kB"))
	if err != nil {
		b.Fatalf("%s: %v", path, err)
	}
	return kilobytes * 1024
}
