// Package load measures what the server bears on this machine: beside a plain handler and
// scs, as owners and entries become many, and with many sockets.
//
//	go test -run '^$' -bench . -benchtime 1x ./load
//
// make bench-server and make bench-live do so with -publish. The flags make it shorter, and so
// does -bench with the name of one benchmark.
package load

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/session-interop/session-writer/web/sqlstore"
)

var (
	turn        = flag.Duration("turn", time.Second, "how long a contestant's turn is")
	turnsEach   = flag.Int("turns", 6, "how many turns each contestant has")
	mostOwners  = flag.Int("owners", 1_000_000, "up to how many owners to measure")
	mostEntries = flag.Int("entries", 10_000, "up to how many entries of a session to measure")
	publishing  = flag.Bool("publish", false, "put the tables into "+readme)
)

// A setting is what all contestants bear in turn.
type setting struct {
	on               engine
	entries, clients int
	crowds           map[string]*crowd // by contestant
}

// BenchmarkContestants has clients of each contestant save as fast as they can. The
// contestants take turns, so that all have the same machine.
func BenchmarkContestants(b *testing.B) {
	var settings []setting
	for _, on := range engines(b) {
		var servers []served
		for _, c := range contestants {
			servers = append(servers, c.start(b, on, on.address()))
		}
		for _, entries := range []int{1, 20} {
			for _, clients := range []int{8, 64, 512} {
				s := setting{on, entries, clients, make(map[string]*crowd)}
				for _, server := range servers {
					s.crowds[server.name] = newCrowd(b, server, clients, entries)
				}
				for range *turnsEach {
					for _, server := range servers {
						s.crowds[server.name].run(*turn)
					}
				}
				for _, c := range s.crowds {
					c.client.CloseIdleConnections()
				}
				settings = append(settings, s)
				progress(s.times())
			}
		}
		for _, server := range servers {
			server.stop()
		}
	}
	parts := []string{
		fmt.Sprintf("%s on %d cores, %d turns of %v each, two clients of each owner.", strings.Replace(runtime.Version(), "go", "Go ", 1), runtime.NumCPU(), *turnsEach, *turn),
		goals(settings),
		"All of it, as multiples of the plain handler's:", ratios(settings),
	}
	for _, on := range []bool{false, true} {
		parts = append(parts, details(slices.DeleteFunc(slices.Clone(settings), func(s setting) bool { return (s.on.pid != 0) != on })))
	}
	publish(b, "contestants", strings.Join(parts, "\n\n"))
}

// rate and p99 return how many times as many requests a contestant bears as the plain
// handler, and how many times as long 99 of 100 take at most.
func (s setting) rate(name string) float64 { return s.crowds[name].rate() / s.crowds[plainly].rate() }

func (s setting) p99(name string) float64 {
	return s.crowds[name].percentile(99) / s.crowds[plainly].percentile(99)
}

// times returns a row of ratios.
func (s setting) times() []string {
	row := []string{s.on.name, count(s.entries), count(s.clients)}
	for _, of := range []func(string) float64{s.rate, s.p99} {
		for _, name := range []string{exchange, save, bySCS} {
			row = append(row, number(of(name)))
		}
	}
	return row
}

func ratios(settings []setting) string {
	rows := [][]string{{"", "entries", "clients", exchange, save, bySCS, "p99 of " + exchange, "p99 of " + save, "p99 of " + bySCS}}
	for _, s := range settings {
		rows = append(rows, s.times())
	}
	return table(rows...)
}

// details returns all that was measured on one engine.
func details(settings []setting) string {
	head := []string{settings[0].on.name, "entries", "clients", "a second", "p50, ms", "p99, ms", "CPU of the server, ms"}
	if settings[0].on.pid != 0 {
		head = append(head, "CPU of PostgreSQL, ms")
	}
	rows := [][]string{append(head, "bytes")}
	for _, s := range settings {
		for _, c := range contestants {
			rows = append(rows, append([]string{c.name, count(s.entries), count(s.clients)}, s.crowds[c.name].cells()...))
		}
	}
	return table(rows...)
}

// goals returns what ours should reach beside the plain handler, and how far it is.
func goals(settings []setting) string {
	rows := [][]string{{"beside the plain handler", "goal"}}
	var names []string
	for _, s := range settings {
		if !slices.Contains(names, s.on.name) {
			names = append(names, s.on.name)
			rows[0] = append(rows[0], s.on.name, "reached")
		}
	}
	reached := map[bool]string{false: "no", true: "yes"}
	for _, name := range []string{exchange, save} {
		for _, goal := range []struct {
			entries int
			rate    float64
		}{{1, 1}, {20, 5}} {
			what := fmt.Sprintf("%s, entries: %d, ", name, goal.entries)
			many := []string{what + "times as many", "at least " + number(goal.rate)}
			late := []string{what + "times the p99 of 512 clients", "at most " + number(1)}
			for _, on := range names {
				rate, p99 := worst(settings, on, goal.entries, name)
				many = append(many, number(rate), reached[rate >= goal.rate])
				late = append(late, number(p99), reached[p99 <= 1])
			}
			rows = append(rows, many, late)
		}
	}
	return table(rows...)
}

// worst returns the smallest ratio of rates, however many clients there are, and the ratio
// of the p99s with the most of them.
func worst(settings []setting, on string, entries int, name string) (rate, p99 float64) {
	rate = math.Inf(1)
	for _, s := range settings {
		if s.on.name == on && s.entries == entries {
			rate, p99 = min(rate, s.rate(name)), s.p99(name)
		}
	}
	return rate, p99
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
	rows := [][]string{{"", "owners", "a second", "p50, ms", "p99, ms", "CPU of the server, ms", "CPU of PostgreSQL, ms", "bytes an owner", "bytes of PostgreSQL's log", "Prune, s"}}
	for _, on := range engines(b) {
		address := on.address()
		before := 0
		for owners := 1000; owners <= *mostOwners; owners *= 10 {
			grow(b, address, before, owners, entries)
			before = owners
			bytes, pruned := prune(b, address)
			v := visitsOf(b, on, address, clients, entries)
			logged := on.logged()
			v.run(clients, time.Duration(*turnsEach)*(*turn), func(client int) error { return v.visit(rand.IntN(owners), client) })
			log := ""
			if on.pid != 0 {
				log = number((on.logged() - logged) / float64(len(v.times)))
			}
			rows = append(rows, v.row(on, owners, number(float64(bytes)/float64(owners)), log, number(pruned.Seconds())))
			v.to.stop()
		}
	}
	publish(b, "owners", table(rows...))
}

// prune returns how many bytes a database has, and how long Prune takes that finds nothing
// to delete, while nobody else is there.
func prune(b *testing.B, address string) (bytes int64, took time.Duration) {
	b.Helper()
	db, err := open(address)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	query := `SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`
	if db.postgresql {
		query = `SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`
	}
	if err := db.QueryRow(query).Scan(&bytes); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := db.sessions(sqlstore.Limits{}).Prune(ctx, began); err != nil {
		b.Fatal(err)
	}
	return bytes, time.Since(began)
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
				v.run(clients, time.Duration(*turnsEach)*(*turn), func(client int) error { return what.ask(v, client) })
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
func (v *visits) row(on engine, many int, more ...string) []string {
	cells := v.cells()
	if on.pid == 0 {
		cells = append(cells[:4], "")
	}
	row := slices.Concat([]string{on.name, count(many)}, cells[:5], more)
	progress(row)
	return row
}

// progress prints a row, as a run takes long.
func progress(row []string) { fmt.Fprintln(os.Stderr, strings.Join(row, " | ")) }
