package turns

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A line is what happens with a Queue, in a bubble.
type line struct {
	*testing.T
	*Queue
	got []string // who had a turn, in this order
}

// come takes a turn that lasts so long, once it is had.
func (l *line) come(ctx context.Context, owner string, expected, lasts time.Duration) (result *error) {
	result = new(error)
	go func() {
		done, err := l.Take(ctx, owner, expected)
		if err != nil {
			*result = err
			return
		}
		l.got = append(l.got, owner)
		time.Sleep(lasts)
		done()
	}()
	synctest.Wait()
	return result
}

func inBubble(t *testing.T, q *Queue, run func(l *line)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { run(&line{T: t, Queue: q}) })
}

func (l *line) check(want ...string) {
	l.Helper()
	time.Sleep(time.Hour) // until all is over
	synctest.Wait()
	if !slices.Equal(l.got, want) {
		l.Errorf("turns had %v, want %v", l.got, want)
	}
	if l.taken != 0 || len(l.waiting) != 0 {
		l.Errorf("in the end %d have a turn, and %d wait", l.taken, len(l.waiting))
	}
}

func TestWhoTakesLittleIsFirst(t *testing.T) {
	inBubble(t, &Queue{AtOnce: 1, Waiting: 9, Share: 9, Patience: time.Minute}, func(l *line) {
		l.come(l.Context(), "long", 0, time.Second)
		l.come(l.Context(), "long", 0, time.Second) // nobody knows yet
		l.come(l.Context(), "large", 100*time.Millisecond, time.Millisecond)
		l.come(l.Context(), "a", 0, time.Millisecond)
		l.come(l.Context(), "b", 0, time.Millisecond)
		time.Sleep(1500 * time.Millisecond)
		l.come(l.Context(), "long", 0, time.Second)
		l.come(l.Context(), "c", 0, time.Millisecond)
		l.check("long", "long", "a", "b", "large", "c", "long")
	})
}

func TestWhoTakesALittleMoreIsNotPassed(t *testing.T) {
	inBubble(t, &Queue{AtOnce: 1, Waiting: 9, Share: 9, Patience: time.Minute}, func(l *line) {
		l.come(l.Context(), "first", 0, time.Second)
		for _, w := range []struct {
			owner string
			takes time.Duration
		}{{"a", 3}, {"b", 1}, {"large", 20}, {"c", 7}, {"d", 0}} {
			l.come(l.Context(), w.owner, w.takes*time.Millisecond, time.Millisecond)
		}
		l.check("first", "a", "b", "c", "large", "d")
	})
}

func TestSeveralHaveATurnAtOnce(t *testing.T) {
	inBubble(t, &Queue{AtOnce: 2, Waiting: 9, Share: 9, Patience: time.Minute}, func(l *line) {
		for i := range 3 {
			l.come(l.Context(), fmt.Sprint(i), 0, time.Second)
		}
		if len(l.got) != 2 {
			t.Errorf("turns had at once: %v, want two", l.got)
		}
		l.check("0", "1", "2")
	})
}

func TestNobodyFillsTheLine(t *testing.T) {
	inBubble(t, &Queue{AtOnce: 1, Waiting: 4, Share: 3, Patience: time.Minute}, func(l *line) {
		l.come(l.Context(), "a", 0, time.Second)
		var many []*error
		for range 4 {
			many = append(many, l.come(l.Context(), "many", 0, 0))
		}
		if !errors.Is(*many[3], ErrBusy) {
			t.Errorf("more than its share: %v, want ErrBusy", *many[3])
		}
		for _, owner := range []string{"b", "c"} {
			if result := l.come(l.Context(), owner, 0, 0); *result != nil {
				t.Errorf("%s: %v", owner, *result)
			}
		}
		dropped := 0
		for _, result := range many[:3] {
			if *result != nil {
				dropped++
			}
		}
		if dropped != 1 {
			t.Errorf("of who has most, %d wait no longer, want 1", dropped)
		}
		l.check("a", "many", "many", "b", "c")
	})
}

func TestWhoGivesUp(t *testing.T) {
	inBubble(t, &Queue{AtOnce: 1, Waiting: 9, Share: 9, Patience: time.Second}, func(l *line) {
		l.come(l.Context(), "a", 0, 10*time.Second)
		ctx, cancel := context.WithCancel(l.Context())
		gone := l.come(ctx, "gone", 0, 0)
		impatient := l.come(l.Context(), "impatient", 0, 0)
		cancel()
		synctest.Wait()
		if !errors.Is(*gone, context.Canceled) {
			t.Errorf("who is gone: %v, want context.Canceled", *gone)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !errors.Is(*impatient, ErrBusy) {
			t.Errorf("who has waited long: %v, want ErrBusy", *impatient)
		}
		if _, err := l.Take(ctx, "gone", 0); !errors.Is(err, context.Canceled) {
			t.Errorf("who was gone before: %v, want context.Canceled", err)
		}
		l.check("a")
	})
}

// One who was slow by chance is still before who has many waiting.
func TestWhoWantsManyTurnsIsLater(t *testing.T) {
	inBubble(t, &Queue{AtOnce: 1, Waiting: 99, Share: 99, Patience: time.Hour}, func(l *line) {
		want := []string{"slow", "many", "x", "slow"}
		l.come(l.Context(), "slow", 0, 800*time.Millisecond)
		l.come(l.Context(), "many", 0, 80*time.Millisecond)
		time.Sleep(time.Second)
		l.come(l.Context(), "x", 0, time.Millisecond)
		for range 20 {
			l.come(l.Context(), "many", 0, 80*time.Millisecond)
			want = append(want, "many")
		}
		l.come(l.Context(), "slow", 0, time.Millisecond)
		l.check(want...)
	})
}

// Others fill the line with turns of a millisecond, one after the other; those of
// a page take longer than what nobody is passed for.
func TestNobodyIsPassedForEver(t *testing.T) {
	inBubble(t, &Queue{AtOnce: 1, Waiting: 1000, Share: 250, Patience: 10 * time.Second}, func(l *line) {
		ctx, cancel := context.WithCancel(l.Context())
		var others sync.WaitGroup
		defer others.Wait()
		defer cancel()
		for i := range 3 {
			others.Go(func() {
				for ctx.Err() == nil {
					if done, err := l.Take(ctx, fmt.Sprint("other ", i), 0); err == nil {
						time.Sleep(time.Millisecond)
						done()
					}
				}
			})
		}
		for range 60 {
			began := time.Now()
			done, err := l.Take(ctx, "page", 0)
			if waited := time.Since(began); err != nil || waited > 100*time.Millisecond {
				l.Fatalf("the page waited %v: %v", waited, err)
			}
			time.Sleep(Long + time.Millisecond)
			done()
			time.Sleep(100 * time.Millisecond)
		}
	})
}
