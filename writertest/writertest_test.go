package writertest_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/session-interop/session-writer"
	"github.com/session-interop/session-writer/writertest"
)

func TestMyWriter(t *testing.T) {
	writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
		h := newHarness(t)
		h.See = func(context.Context, session.Writer) error { return nil }
		return h
	})
}

func TestMyWriterWithoutHooks(t *testing.T) {
	writertest.TestWriter(t, func(t *testing.T) writertest.Harness {
		h := newHarness(t)
		return writertest.Harness{Open: h.Open, Load: h.Load}
	})
}

func TestMemory(t *testing.T) {
	s := session.NewMemory()
	if err := s.SetItem("length", "somebody else's"); err != nil {
		t.Fatal(err)
	}
	writertest.TestStorage(t, func(t *testing.T) writertest.StorageHarness {
		return writertest.StorageHarness{Storage: s, Elsewhere: func(key, text string) { s.SetItem(key, text) }}
	})
	if keys, _ := s.Keys(""); !slices.Equal(keys, []string{"length"}) {
		t.Errorf("after TestStorage the storage has the items %q, want only the one from before it", keys)
	}
}

func TestRulesAreThoseOfTheContract(t *testing.T) {
	contract := comments(t, "../writer.go")
	for _, c := range writertest.WriterCases {
		if !strings.Contains(contract, c.Says) {
			t.Errorf("%s/%s: the doc comment of Writer has no sentence %q", c.Rule, c.Name, c.Says)
		}
	}
	contract = comments(t, "../storage.go")
	for _, c := range writertest.StorageCases {
		if !strings.Contains(contract, c.Says) {
			t.Errorf("%s/%s: the doc comment of Storage or Watcher has no sentence %q", c.Rule, c.Name, c.Says)
		}
	}
}

// comments returns the words of a file's comments, and of its code, in one
// line.
func comments(t *testing.T, file string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^\s*//`).ReplaceAllString(string(source), "")
	return strings.Join(strings.Fields(text), " ")
}

func TestEveryRuleCanBeCheckedWithoutHooks(t *testing.T) {
	var rules []string
	for _, c := range writertest.WriterCases {
		if c.Needs == "" && !slices.Contains(rules, c.Rule) {
			rules = append(rules, c.Rule)
		}
	}
	if len(rules) != 9 {
		t.Errorf("without hooks only %q are checked, want nine rules", rules)
	}
}

// A mistake is a harness of something that breaks one rule.
type mistake[H any] struct {
	rule, what string
	// newHarness may call giveUp, which ends the waiting for what will never
	// come.
	newHarness func(t *testing.T, giveUp func()) H
}

// Mistakes that show only when something else comes in between are forced to:
// time is that of a synctest bubble, in which it passes when everybody waits.
// What is broken waits for a step in the middle of it, and a reading takes part
// of a step before it looks, so there is always one in the middle.

const step = time.Second

func pause() { time.Sleep(step) }

func pauseBeforeReading() { time.Sleep(step / 3) }

// testMistakes demands that each mistake is rejected by a case of its rule, and
// that each case rejects a mistake.
func testMistakes[H any](t *testing.T, cases []writertest.Case[H], mistakes []mistake[H]) {
	t.Helper()
	rejects := make(map[string]bool)
	for _, m := range mistakes {
		t.Run(m.rule+"/"+m.what, func(t *testing.T) {
			var by []string
			for _, c := range cases {
				if c.Rule != m.rule {
					continue
				}
				var err error
				synctest.Test(t, func(t *testing.T) {
					ctx, giveUp := context.WithCancel(t.Context())
					defer giveUp()
					err = c.Try(ctx, m.newHarness(t, giveUp))
				})
				if err == nil {
					continue
				}
				if !strings.HasPrefix(err.Error(), "rule "+c.Rule+": "+c.Says+"\n") {
					t.Errorf("%s: got the error %q, want it to begin with the rule %q", c.Name, err, c.Says)
				}
				by = append(by, c.Name)
				rejects[c.Rule+"/"+c.Name] = true
				t.Logf("%s: %v", c.Name, err)
			}
			if by == nil {
				t.Errorf("no case of rule %s rejects what %s", m.rule, m.what)
			}
		})
	}
	for _, c := range cases {
		if name := c.Rule + "/" + c.Name; !rejects[name] {
			t.Errorf("%s rejects no mistake of this test", name)
		}
	}
}
