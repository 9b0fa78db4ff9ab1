// Not in a browser, where there is no go command.

//go:build !js

package engine

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// mutants are mistakes that are easily made. mutate_test.go puts them into the code.
var mutants = []mutant{
	{name: "one stamp for all entries of a merged item",
		right: "s.add(now, merged)",
		wrong: "s.add(now, func() state { for key, v := range merged.entries { v.stamp = merged.newest; merged.entries[key] = v }; return merged }())"},
	{name: "compaction removes an item that it did not read",
		right: "return s.remove(kept) || freed\n",
		wrong: "keys, _ := s.storage.Keys(s.prefix); at, _ := s.clock.Tick(now, s.writer); for _, key := range keys { if key < s.prefix+string(at) { if it := s.items[key]; it == nil || it.text == \"\" { s.storage.RemoveItem(key) } } }; return s.remove(kept) || freed"},
	{name: "removals are forgotten at once",
		right: "keepRemovals = 24*60*60*1000 + dropWithin",
		wrong: "keepRemovals = 0"},
	{name: "removals are forgotten while other items are left",
		right: "by.forgettable(before) && s.areAll(kept)",
		wrong: "by.forgettable(before)"},
	{name: "a removal is forgotten before what it suppresses is gone",
		right: "!s.active && s.carried < before",
		wrong: "s.carried < before"},
	{name: "the clock forgets what it saw",
		right: "seen <= last || c.last.CompareAndSwap(last, seen)",
		wrong: "seen+last >= 0"},
	{name: "the clock follows the wall clock back",
		right: "			next = max(next, now<<counterBits)\n",
		wrong: "			next = max(next&maxCounter, now<<counterBits)\n"},
	{name: "ties are broken by arrival",
		right: "ok && !had.less(v)",
		wrong: "ok && v.stamp[:millisDigits] < had.stamp[:millisDigits]"},
	{name: "compaction removes before it writes",
		right: "if _, err := s.add(now, merged); err != nil {",
		wrong: "s.remove(kept)\n\t\tif _, err := s.add(now, merged); err != nil {"},
	{name: "compaction removes though its write was refused",
		right: "if _, err := s.add(now, merged); err != nil {",
		wrong: "if _, err := s.add(now, merged); false && err != nil {"},
	{name: "superseded is what has any newer entry",
		right: "		if merged.entries[r.key] == r.version {\n			return true\n		}\n	}\n	return false",
		wrong: "		if merged.entries[r.key] != r.version {\n			return false\n		}\n	}\n	return true"},
	{name: "a clearing is lost in compaction",
		right: "\tvar merged state\n\tfor _, it := range items {\n\t\tmerged.add(it.says)\n",
		wrong: "\tvar merged state\n\tfor _, it := range items {\n\t\tit.says.cleared = \"\"\n\t\tmerged.add(it.says)\n"},
	{name: "a load does not list again when items are gone",
		right: "				complete = false\n",
		wrong: "				readings[key] = &item{key: key, err: errDamaged}\n"},
	{name: "a load keeps what it read of items that are gone",
		right: "readings[it.key] != it",
		wrong: "readings[it.key] == nil && s == nil"},
	{name: "an item is written again in its place",
		right: "if _, err := s.add(now, merged); err != nil {",
		wrong: "if err := s.storage.SetItem(s.own(string(merged.newest)), s.encode(merged)); err != nil {"},
	{name: "a load compacts nothing and a save neither",
		right: "compactEvery = 16",
		wrong: "compactEvery = 1 << 30"},
	{name: "the newest batch may be dropped, which tells the age",
		right: "if c.newest == merged.newest || c.cleared",
		wrong: "if c.cleared",
		test:  "TestWithoutRoomTheAgeOfASessionIsKept"},
}

// replicationMutants are those of exchanges with a server.
var replicationMutants = []mutant{
	{name: "a removal is forgotten before the server has it",
		right: "if s.owner != \"\" && !l.lists(name) {",
		wrong: "if name == \"\" {"},
	{name: "forgetting asks the ledger only for the first item",
		right: "if s.owner != \"\" && !l.lists(name) {",
		wrong: "if s.owner != \"\" && len(these) == 0 && !l.lists(name) {"},
	{name: "the server is taken to have what was saved during an exchange",
		right: "has := l.lists(it.stamp())\n",
		wrong: "has := true || l.lists(it.stamp())\n"},
	{name: "what is merged during an exchange counts as sent",
		right: "has = has || it.key == sent.key",
		wrong: "has = has || it.key >= sent.key"},
	{name: "only what is stamped later than all that was sent is sent",
		right: "if stamp := it.stamp(); !l.lists(stamp) {",
		wrong: "if stamp := it.stamp(); len(l.stamps) < stampLength || stamp > l.stamps[len(l.stamps)-stampLength:] {"},
	{name: "what a clearing removes counts before it is deleted",
		right: "string(cleared), string(b.Newest)",
		wrong: "\"\", string(b.Newest)",
		test:  "./web/sqlstore TestWhatWasClearedDoesNotCountBeforeItIsDeleted"},
	{name: "what was sent to a server that has lost it is not sent again",
		right: "\tl := ledger{owner: owner, generation: s.newWriter(), active: active}\n",
		wrong: "\tl := ledger{owner: owner, generation: s.newWriter(), active: active}\n\tif had, _ := s.ledger(); had.owner == owner {\n\t\tl.stamps = had.stamps\n\t}\n"},
	{name: "the generation mark is not looked at",
		right: "\t_, ok, err := s.storage.GetItem(s.markKey(l))\n\treturn ok, err\n",
		wrong: "\t_, ok, err := s.storage.GetItem(s.markKey(l))\n\treturn ok || true, err\n"},
	{name: "the ledger is written before the received item",
		right: "\treceived, full := s.receive(now, &l, got, says, old)\n",
		wrong: "\tearly := l\n\tearly.cursor = got.Cursor\n\tif err := s.storage.SetItem(s.ledgerKey(), early.text()); err != nil {\n\t\treturn err\n\t}\n\treceived, full := s.receive(now, &l, got, says, old)\n"},
	{name: "items are listed as sent though there is no cursor",
		right: "if l.cursor == \"\" {\n\t\t\tbreak",
		wrong: "if l.cursor == \"x\" {\n\t\t\tbreak",
		test:  "TestAServerThatHasLostAllBeforeItsAnswerFoundRoom"},
	{name: "a former owner's unsent items are dropped",
		right: "\t\tif l.lists(it.stamp()) {\n\t\t\tsent",
		wrong: "\t\tif true {\n\t\t\tsent",
		test:  "TestAnotherOwnerBehindTheSameServer"},
	{name: "a former owner's items go before another's session is shown",
		right: "\t_, err = s.begin(to, 0)\n\tif err == nil {\n\t\ts.remove(sent)\n\t}\n",
		wrong: "\ts.remove(sent)\n\t_, err = s.begin(to, 0)\n",
		test:  "TestAnotherOwnersSessionIsShownWhole"},
	{name: "what becomes another's brings removals",
		right: "alive := snap.state.living()",
		wrong: "alive := snap.state.clone()"},
	{name: "what was nobody's brings removals",
		right: "alive := all.living()",
		wrong: "alive := all.clone()"},
	{name: "what was nobody's hides what the owner has",
		right: "\t\tif !v.removed() {\n\t\t\ts.state.set",
		wrong: "\t\tif true {\n\t\t\ts.state.set",
		test:  "TestWhatIsNobodysHidesNothing"},
	{name: "what is too large is divided for whoever is shown",
		right: "\tcase l.owner != x.with.owner || l.generation != x.with.generation:\n\t\treturn x.resume(now, l) // it is not",
		wrong: "\tcase false:\n\t\treturn x.resume(now, l) // it is not"},
	{name: "whom the server did not know stays so for whoever is shown",
		right: "if x.heir != l.owner {",
		wrong: "if false {",
		test:  "TestAVisitorBecomesNobodysHeir"},
	{name: "a former owner's session is shown to the next",
		right: "return name, of != s.owner, heir == s.owner",
		wrong: "return name, of != s.owner && heir == s.owner, true"},
	{name: "a former owner's session becomes the next one's",
		right: "heir, _ := s.heirOf(of, s.owner)",
		wrong: "heir := s.owner"},
	{name: "what is saved for a former owner is not his heir's",
		right: "heir, _ := s.heirOf(of, s.owner)",
		wrong: "heir := of"},
	{name: "it is not heard who the heir is",
		right: "\t\tif terms.Heir != \"\" {\n",
		wrong: "\t\tif false {\n"},
	{name: "every other owner is taken for the heir",
		right: "\tcase heir == to:\n\t\treturn s.give(now, l, to)\n",
		wrong: "\tcase heir == to || true:\n\t\treturn s.give(now, l, to)\n"},
	{name: "who is the heir is noted after his session is shown",
		right: "\tif err := s.storage.SetItem(heirKey(l.owner), to); err != nil {\n\t\treturn err\n\t}\n",
		wrong: "\tdefer func() { _ = s.storage.SetItem(heirKey(l.owner), to) }()\n",
		test:  "TestAnHeirGetsAllThoughATabIsKilled"},
	{name: "a clearing is told without all that is left",
		right: "(cleared || !s.entries[key].shows(v))",
		wrong: "!s.entries[key].shows(v)"},
	{name: "what is stamped anew gets another order",
		right: "\tfor _, key := range had.keys() {\n",
		wrong: "\tkeys := had.keys()\n\tfor i, j := 0, len(keys)-1; i < j; i, j = i+1, j-1 {\n\t\tkeys[i], keys[j] = keys[j], keys[i]\n\t}\n\tfor _, key := range keys {\n",
		test:  "TestWhatIsStampedAnewKeepsItsOrder"},
	{name: "one batch gets several stamps anew",
		right: "} else if v.stamp != last {",
		wrong: "} else {"},
	{name: "whoever finds a session over drops it at once",
		right: "anew && s.owner == \"\" {\n\t\t\tover",
		wrong: "anew {\n\t\t\tover"},
	{name: "a load of a session that is over drops it at once",
		right: "if s.owner == \"\" && len(snap.items) > 0",
		wrong: "if len(snap.items) > 0"},
	{name: "what is over is shown as long as it is here",
		right: "if snap.partial = life > 1; snap.partial {",
		wrong: "if snap.partial {"},
	{name: "what was alive at other times is merged",
		right: "if it.life == life {",
		wrong: "if it.life >= life {"},
	{name: "how long a session was alive is lost in compaction",
		right: "\tmerged.since = aliveSince(merged.cleared, items)\n",
		wrong: "",
		test:  "TestCompactionTellsHowLongASessionWasAlive"},
	{name: "superseded items go, and with them when they were saved",
		right: "\tif s.maxAge == 0 {\n\t\tfreed",
		wrong: "\tif true {\n\t\tfreed",
		test:  "TestCompactionTellsHowLongASessionWasAlive"},
	{name: "the age of a session is counted from when the answer is read",
		right: "min(x.asked, now) - got.Age",
		wrong: "now - got.Age",
		test:  "TestAnAnswerThatWaitsMakesTheSessionNoYounger"},
	{name: "an answer that has all there is is added to what is here",
		right: "\t\ts.remove(old)\n\t\t_, full = s.read()\n",
		wrong: "\t\t_, full = s.read()\n"},
	{name: "who answers all there is is taken for who has what is listed",
		right: "case l.cursor != x.with.cursor && (got.Complete || x.with.cursor == \"\"):",
		wrong: "case false:"},
	{name: "what is stamped anew does not come after what the server has",
		right: "\tl.stamps += \" \" + string(terms.Newest)\n",
		wrong: "",
		test:  "TestWhatIsStampedAnewComesAfterWhatWasSent"},
	{name: "lives never join",
		right: "rest[0][1] < s[0]-maxAge",
		wrong: "rest[0][1] < s[0]"},
	{name: "that there is more again tells nobody",
		right: "\t\tnext.ID++\n",
		wrong: ""},
	{name: "what is over takes the place of what is there",
		right: "(b.made >= ?13, b.stamp,",
		wrong: "(e.made >= ?13, b.stamp,",
		test:  "./web/sqlstore TestWhatIsThereWinsOverWhatIsOver"},
	{name: "a session is begun anew though somebody has just saved",
		right: "    WHEN ?12 <> ?11 AND touched <> CAST(?14 AS INTEGER) THEN 1\n",
		wrong: "",
		test:  "./web/sqlstore TestASessionIsSavedInAsItIsBegunAnew"},
	{name: "the sender's clock is taken to be right",
		right: "return senderClock{now - sentAt, now}",
		wrong: "return senderClock{0, now}",
		test:  "./web/sqlstore TestAClockThatIsWrongEndsNothing"},
	{name: "who has what is over is not told",
		right: "next.life != since.life",
		wrong: "false"},
	{name: "divided, a batch is lost",
		right: "range []state{older, newer}",
		wrong: "range []state{newer}"},
	{name: "divided, a clearing is lost",
		right: "\tolder.clear(whole.cleared)\n",
		wrong: ""},
	{name: "what is received is stamped before it",
		right: "\tat, err := s.tick(now)\n\tif err != nil {\n\t\treturn \"\", err\n\t}\n\tkey := s.own(string(at))\n\terr = s.storage.SetItem(key, text)\n",
		wrong: "\tat := makeStamp(now, 0, s.writer)\n\tkey := s.own(string(at))\n\terr = s.storage.SetItem(key, text)\n"},
	{name: "removals are pruned and their versions given again",
		right: "p.keepVersion(of, pruneRemovals, before)",
		wrong: "p.exec(p.ctx, pruneRemovals, of.owner, of.session, before)",
		test:  "./web/sqlstore TestPruneGivesNoVersionAgain"},
	{name: "removals are pruned a day after they came",
		right: "p.removals(before)",
		wrong: "p.removals(date(now.Add(-24 * time.Hour)))"},
	{name: "what is sent of a key is left out, though another won",
		right: "\t\tsaid[r] = true\n\t}\n\tmerged",
		wrong: "\t\tsaid[r] = true\n\t\tfor _, m := range merged.Records {\n\t\t\tif m.Key == r.Key {\n\t\t\t\tsaid[m] = true\n\t\t\t}\n\t\t}\n\t}\n\tmerged"},
	{name: "a database that was put back is taken for what it was",
		right: "lower(hex(randomblob(8)))",
		wrong: "epoch"},
	{name: "a writer on the server does not come after what it found",
		right: "\tif at.newest != \"\" {\n\t\ts.clock.See",
		wrong: "\tif false {\n\t\ts.clock.See"},
	{name: "the age of a session is that of its arrival",
		right: "return max(0, min(at+c.ahead, c.now))",
		wrong: "return c.now"},
	{name: "a stranger's session is asked for with his cursor",
		right: "\tif sent.Owner != \"\" && sent.Owner != tag {",
		wrong: "\tif false {"},
	{name: "what cannot be read counts as sent",
		right: "\tstamps := \"\"\n",
		wrong: "\tstamps := \"\"\n\tfor _, it := range snap.corrupt {\n\t\tstamps += \" \" + it.stamp()\n\t}\n",
		test:  "TestWhatCannotBeReadIsNotSent"},
	{name: "a removal was last said by the last item that says it",
		right: "removal.carried = max(removal.carried, it.written)",
		wrong: "removal.carried = it.written",
		test:  "TestARemovalIsAsOldAsItsNewestItem"},
	{name: "the end of a session that is over is stamped now",
		right: "makeStamp(max(0, now-s.maxAge), 0, s.writer)",
		wrong: "makeStamp(max(0, now-1), 0, s.writer)",
		test:  "TestTabsBeginAnewAtOnce"},
	{name: "an exchange begins again without end",
		right: "x.begun > maxBegun",
		wrong: "x.begun > 1000*maxBegun",
		test:  "TestAServerThatTurnsWithoutEnd"},
	{name: "watchers are not told of what an exchange that failed has brought",
		right: "\t// Whatever came of it, others may have to be told.\n\tdefer func() {\n\t\ts.engine.Tidy(now())\n\t\ts.stale.Store(true)\n\t\ts.awake()\n\t}()\n",
		wrong: "",
		test:  ". TestSubscribersAreToldThoughAnExchangeFails"},
	{name: "the cursor is read after the entries",
		right: "\tif next.epoch != at.epoch {",
		wrong: "\tif later, ok, err := d.find(ctx, of); err == nil && ok && later.epoch == next.epoch {\n\t\tnext.version = later.version\n\t}\n\tif next.epoch != at.epoch {",
		test:  "./web/sqlstore TestNothingIsMissedOfWhatOthersMergeMeanwhile"},
	{name: "a session that was deleted meanwhile is not noticed",
		right: "\tif next.epoch != at.epoch {",
		wrong: "\tif false {",
		test:  "./web/sqlstore TestASessionIsDeletedMeanwhile"},
	{name: "on PostgreSQL, a merge does not wait for another",
		right: "WHERE owner = $1 AND name = $2 FOR UPDATE",
		wrong: "WHERE owner = $1 AND name = $2",
		test:  "./web/sqlstore TestNothingIsMissedOfWhatIsCommittedLater -postgresql"},
	{name: "on PostgreSQL, what a limit counts is not held",
		right: "hashtextextended('session-writer ' || $1, 0)",
		wrong: "hashtextextended('session-writer ' || $1 || random(), 0)",
		test:  "./web/sqlstore TestALimitHoldsWhileOthersAreCounted -postgresql"},
	{name: "on PostgreSQL, a session that is used meanwhile is deleted",
		right: "LIMIT 100) AND used < ?1 RETURNING owner`",
		wrong: "LIMIT 100) RETURNING owner`",
		test:  "./web/sqlstore TestASessionIsUsedWhileUnusedOnesAreDeleted -postgresql"},
	{name: "on PostgreSQL, the place of a session that is gone is not held",
		right: "INSERT INTO sessions (owner, name, epoch, version, used) VALUES ($1, $2, '', 0, '') ON CONFLICT DO NOTHING RETURNING epoch",
		wrong: "SELECT '' WHERE $1 <> $2",
		test:  "./web/sqlstore TestASessionIsBegunAnewWhileWhatIsLeftIsDeleted -postgresql"},
	{name: "removals are mirrored before what replaces them",
		right: "\t\tt.transactions = append(t.transactions, t.noted)\n",
		wrong: "\t\tsets := slices.DeleteFunc(slices.Clone(t.noted), func(c change) bool { return c.kind != 's' })\n\t\tremovals := slices.DeleteFunc(t.noted, func(c change) bool { return c.kind == 's' })\n\t\tt.transactions = append(t.transactions, removals, sets)\n"},
	{name: "removals are not mirrored",
		right: "\t\t\t\tdelete(d.mirror, c.key)\n",
		wrong: ""},
	{name: "what was removed is not mirrored as removed before the mirror is read",
		right: "\t\t\tdelete(m.items, c.key)\n",
		wrong: ""},
	{name: "what was forgotten is put back",
		right: "cleared || at.Millis() < forgotten",
		wrong: "cleared || at == \"\""},
	{name: "it is not noted what was forgotten",
		right: "\treturn s.storage.SetItem(key, at+text[millisDigits:])\n",
		wrong: "\treturn nil\n"},
	{name: "what was lost is forgotten before it is back",
		right: "\tif !t.forgets {\n\t\treturn errNotRestored\n\t}\n",
		wrong: ""},
	{name: "the record of what the server has is put back",
		right: "\t\tl = ledger{owner: l.owner, generation: strings.Repeat(\"0\", writerDigits), active: l.active}\n",
		wrong: "\t\tif err := storage.SetItem(s.markKey(l), \"\"); err != nil {\n\t\t\treturn restored, err\n\t\t}\n"},
	{name: "a mirror that was begun lately is taken for one that was there for long",
		right: "now <= begun+unwritten",
		wrong: "now <= begun"},
}

// The simulation is worth something if it finds out every mistake. Those that
// take it millions of operations have a test of their own in engine_test.go.
func TestSimulationCatchesMutants(t *testing.T) { catch(t, mutants, "TestSimulation") }

func TestReplicationCatchesMutants(t *testing.T) { catch(t, replicationMutants, "TestReplication") }

var mutantsUpdate = flag.Bool("mutants.update", false, "look for other schedules where those that are known catch nothing any more, and write them, and where the mutants are, to "+knownFile)

// knownFile has what is known of each mutant, by its name.
const knownFile = "testdata/mutants.json"

// A known is what is known of a mutant.
type known struct {
	// Seed is of a schedule that catches it. When the code changes, and it does not any
	// more, another has to be found, which takes long.
	Seed  uint64 `json:"seed,omitempty"`
	Place *place `json:"place,omitempty"`
}

var knowledge = struct {
	sync.Mutex
	of map[string]known
}{}

func readKnown(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(knownFile)
	if err == nil {
		err = json.Unmarshal(text, &knowledge.of)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func writeKnown(t *testing.T) {
	t.Helper()
	text, err := json.MarshalIndent(knowledge.of, "", "  ")
	if err == nil {
		err = os.WriteFile(knownFile, append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

func catch(t *testing.T, mutants []mutant, test string) {
	if testing.Short() {
		t.SkipNow() // it takes minutes
	}
	readKnown(t)
	if *mutantsUpdate {
		t.Cleanup(func() { writeKnown(t) })
	}
	caught := regexp.MustCompile(`schedule (\d+), -sim\.seed (\d+): after \d+ steps: (.*)`)
	caughtAgain := regexp.MustCompile(`: after \d+ steps: `)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			place, test := ".", test
			if at, name, ok := strings.Cut(m.test, " "); ok {
				place, test = at, name
			} else if m.test != "" {
				test = m.test
			}
			test, flag, _ := strings.Cut(test, " ")
			knowledge.Lock()
			about := knowledge.of[m.name]
			knowledge.Unlock()
			overlay := m.overlay(t, about.Place)
			run := func(arguments ...string) ([]byte, error) {
				if flag != "" {
					arguments = append(arguments, flag)
				}
				timeout := "-timeout=1h" // of what searches
				if m.test != "" {
					timeout = "-timeout=5m"
				}
				command := exec.Command("go", append([]string{"test", "-count=1", "-vet=off", timeout, "-overlay", overlay, "-run", "^" + test + "$", place}, arguments...)...)
				if place != "." || strings.HasPrefix(m.test, ". ") {
					command.Dir = module
				}
				return command.CombinedOutput()
			}
			if m.test == "" && about.Seed != 0 {
				if out, err := run("-sim.seed", strconv.FormatUint(about.Seed, 10)); err != nil && caughtAgain.Match(out) {
					return
				}
			}
			if m.test == "" && !*mutantsUpdate {
				t.Fatal("no schedule is known that catches it: -mutants.update looks for one")
			}
			var search []string
			if m.test == "" {
				search = []string{"-sim.ops", "40000000"}
			}
			out, err := run(search...)
			found := caught.FindSubmatch(out)
			switch {
			case err == nil:
				t.Errorf("not caught: %s", out)
			case m.test != "" && strings.Contains(string(out), "--- FAIL: "+test):
			case found == nil:
				t.Errorf("failed otherwise: %.2000s", out)
			default:
				t.Logf("caught by schedule %s, -sim.seed %s: %.100s", found[1], found[2], found[3])
				if about.Seed, err = strconv.ParseUint(string(found[2]), 10, 64); err != nil {
					t.Fatal(err)
				}
				knowledge.Lock()
				knowledge.of[m.name] = about
				knowledge.Unlock()
			}
		})
	}
}
