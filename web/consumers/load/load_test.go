// Package load measures what the server bears on this machine: beside a plain handler and
// scs, and as owners and entries become many.
//
//	go test -run '^$' -bench . -benchtime 1x ./load
//
// make bench-server does so with -publish. The flags make it shorter, and so does -bench
// with the name of one benchmark.
package load

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

var (
	turn        = flag.Duration("turn", 2*time.Second, "how long a contestant's turn is")
	turnsEach   = flag.Int("turns", 3, "how many turns each contestant has")
	mostOwners  = flag.Int("owners", 1_000_000, "up to how many owners to measure")
	mostEntries = flag.Int("entries", 10_000, "up to how many entries of a session to measure")
	publishing  = flag.Bool("publish", false, "put the tables into "+readme)
)

// BenchmarkContestants has clients of each contestant save as fast as they can. The
// contestants take turns, so that all have the same machine.
func BenchmarkContestants(b *testing.B) {
	text := fmt.Sprintf("%s, %d cores, in one run.", strings.Replace(runtime.Version(), "go", "Go ", 1), runtime.NumCPU())
	ratios := [][]string{{"", "entries", "clients", exchange, save, bySCS, "p99 of " + exchange, "p99 of " + save, "p99 of " + bySCS}}
	var details []string
	for _, on := range engines(b) {
		head := []string{on.name, "entries", "clients", "a second", "p50, ms", "p99, ms", "CPU of the server, ms"}
		if on.pid != 0 {
			head = append(head, "CPU of PostgreSQL, ms")
		}
		detail := [][]string{append(head, "bytes")}
		var servers []served
		for _, c := range contestants {
			servers = append(servers, c.start(b, on, on.address()))
		}
		for _, entries := range []int{1, 20} {
			for _, clients := range []int{8, 64, 512} {
				what := []string{number(float64(entries)), number(float64(clients))}
				crowds := make(map[string]*crowd)
				for _, s := range servers {
					crowds[s.name] = newCrowd(b, s, clients, entries)
				}
				for range *turnsEach {
					for _, s := range servers {
						crowds[s.name].run(*turn)
					}
				}
				times := func(of func(*crowd) float64) (cells []string) {
					for _, name := range []string{exchange, save, bySCS} {
						cells = append(cells, number(of(crowds[name])/of(crowds[plainly])))
					}
					return cells
				}
				row := append([]string{on.name}, what...)
				row = append(row, times(func(c *crowd) float64 { return c.rate() })...)
				ratios = append(ratios, append(row, times(func(c *crowd) float64 { return c.percentile(99) })...))
				progress(ratios)
				for _, s := range servers {
					c := crowds[s.name]
					detail = append(detail, append(append([]string{s.name}, what...), c.cells()...))
					progress(detail)
					c.client.CloseIdleConnections()
				}
			}
		}
		details = append(details, table(detail...))
		for _, s := range servers {
			s.stop()
		}
	}
	publish(b, "contestants", strings.Join(append([]string{text, "Times the plain handler's:", table(ratios...)}, details...), "\n\n"))
}

// cells returns what was measured.
func (t *traffic) cells() []string {
	cells := []string{number(t.rate()), number(t.percentile(50)), number(t.percentile(99))}
	for _, cpu := range t.cpu() {
		cells = append(cells, number(cpu))
	}
	return append(cells, number(t.bytes()))
}

// BenchmarkOwners has clients exchange one entry of owners that come at random, of more
// and more.
func BenchmarkOwners(b *testing.B) {
	const clients, entries = 8, 10
	rows := [][]string{{"", "owners", "a second", "p50, ms", "p99, ms", "CPU of the server, ms", "CPU of PostgreSQL, ms", "bytes of the database for an owner"}}
	for _, on := range engines(b) {
		address := on.address()
		before := 0
		for owners := 1000; owners <= *mostOwners; owners *= 10 {
			grow(b, address, before, owners, entries)
			before = owners
			bytes := size(b, address)
			v := visitsOf(b, on, address, clients, entries)
			v.run(clients, time.Duration(*turnsEach)*(*turn), func(client int) error { return v.visit(rand.IntN(owners), client) })
			rows = append(rows, v.row(on, owners, number(float64(bytes)/float64(owners))))
			v.to.stop()
		}
	}
	publish(b, "owners", table(rows...))
}

// BenchmarkEntries has clients exchange one entry of sessions that have more and more, or
// ask for all of them. Each client has an owner of its own.
func BenchmarkEntries(b *testing.B) {
	const clients = 8
	rows := [][]string{{"", "entries of a session", "a second", "p50, ms", "p99, ms", "CPU of the server, ms", "CPU of PostgreSQL, ms", "bytes"}}
	for _, on := range engines(b) {
		address := on.address()
		first := 0
		for entries := 10; entries <= *mostEntries; entries *= 10 {
			grow(b, address, first, first+clients, entries)
			for _, what := range []struct {
				name string
				ask  func(v *visits, client int) error
			}{
				{"exchange of 1", func(v *visits, client int) error { return v.visit(first+client, client) }},
				{"load of all", func(v *visits, client int) error { return v.load(first + client) }},
			} {
				v := visitsOf(b, on, address, clients, entries)
				v.run(clients, 0, func(client int) error { return what.ask(v, client) })
				v.forget()
				v.run(clients, *turn, func(client int) error { return what.ask(v, client) })
				rows = append(rows, v.row(engine{name: on.name + ", " + what.name, pid: on.pid}, entries, number(v.bytes())))
				v.to.stop()
			}
			first += clients
		}
	}
	publish(b, "entries", table(rows...))
}

// visitsOf returns the visits of some clients to a server on a grown database.
func visitsOf(b *testing.B, on engine, address string, clients, entries int) *visits {
	b.Helper()
	return &visits{traffic: clientsOf(b, contestants[0].start(b, on, address), clients), entries: entries}
}

// row returns what was measured on an engine with so many of something.
func (v *visits) row(on engine, many int, last string) []string {
	cells := v.cells()
	if on.pid == 0 {
		cells = append(cells[:4], "")
	}
	row := append(append([]string{on.name, number(float64(many))}, cells[:5]...), last)
	progress([][]string{row})
	return row
}

// progress prints the last of some rows, as a run takes long.
func progress(rows [][]string) { fmt.Fprintln(os.Stderr, strings.Join(rows[len(rows)-1], " | ")) }
