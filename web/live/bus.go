//go:build !js

package live

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Bus carries texts between the processes that use one database.
type Bus interface {
	// Send sends texts to all that listen, itself included. Each has up to 7,000 bytes, and
	// no U+0000.
	Send(ctx context.Context, texts []string) error

	// Listen calls heard with each text that is sent, until ctx is done or it can hear no
	// more. It calls joined once it hears: what was sent before that is missed.
	Listen(ctx context.Context, joined func(), heard func(text string)) error
}

const (
	// again is how long to wait until the Bus is tried again, twice that at most.
	again = time.Second

	// gather is how long what is to be sent waits after something was sent. So the Bus has little
	// to do at any rate of changes, and sends at once when nothing was sent lately.
	gather = 10 * time.Millisecond

	// maxQueued is how much may wait to be sent while the Bus does not work.
	maxQueued = 10_000
)

// A link carries what a Hub hears of to those of other processes, and back.
type link struct {
	hub *Hub
	bus Bus
	log *log.Logger
	// id begins what this process sends.
	id  string
	end context.CancelFunc
	ran sync.WaitGroup

	mu sync.Mutex
	// queue has what waits to be sent, in order. Of those about one session, only the last is.
	queue []queued
	wake  chan struct{}
}

type queued struct{ about, text string }

func newLink(h *Hub, bus Bus, log *log.Logger) *link {
	ctx, end := context.WithCancel(context.Background())
	l := &link{hub: h, bus: bus, log: log, id: rand.Text()[:12], end: end, wake: make(chan struct{}, 1)}
	l.ran.Go(func() { l.listen(ctx) })
	l.ran.Go(func() { l.send(ctx) })
	return l
}

// close ends the link, and sends what waits, if that is soon done. What comes later waits until
// it is called again.
func (l *link) close() {
	l.end()
	l.ran.Wait() // what is not sent by then waits again
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := l.sendAll(ctx); err != nil {
		l.log.Printf("live: %v", err)
	}
}

// What is sent is the link's id, a space, and one of these: + for a change, with the topic, the
// cursor and the session's name as a JSON string, or - for an end, with the topic and the
// device's ID. Between them are spaces.

func (l *link) changed(topic, session, cursor string) {
	name, err := json.Marshal(session)
	if err != nil {
		panic(err) // a fault of this package
	}
	about := "+ " + topic + " "
	l.add(queued{about + string(name), fmt.Sprintf("%s %s%s %s", l.id, about, cursor, name)})
}

func (l *link) ended(topic, device string) {
	about := "- " + topic + " " + device
	l.add(queued{about, l.id + " " + about})
}

func (l *link) add(q queued) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = slices.DeleteFunc(l.queue, func(before queued) bool { return before.about == q.about })
	if len(l.queue) < maxQueued {
		l.queue = append(l.queue, q)
	}
	select {
	case l.wake <- struct{}{}:
	default: // it is about to be sent
	}
}

// send sends what waits, as long as the Bus does. What comes meanwhile is sent together.
func (l *link) send(ctx context.Context) {
	complaints := complaints{log: l.log}
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return
		}
		if err := l.sendAll(ctx); err == nil {
			complaints.over()
			pause(ctx, gather)
		} else if ctx.Err() == nil {
			complaints.about(err)
			pauseLong(ctx)
			select {
			case l.wake <- struct{}{}:
			default:
			}
		}
	}
}

// complaints log why something fails that is tried again and again, but not the same twice in a
// row, until it works.
type complaints struct {
	log  *log.Logger
	mu   sync.Mutex
	last string
}

func (c *complaints) about(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if text := strings.ReplaceAll(err.Error(), "\n", "; "); text != c.last {
		c.last = text
		c.log.Print("live: ", text)
	}
}

func (c *complaints) over() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = ""
}

func (l *link) sendAll(ctx context.Context) error {
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	if len(queue) == 0 {
		return nil
	}
	var texts []string
	for _, q := range queue {
		texts = append(texts, q.text)
	}
	err := l.bus.Send(ctx, texts)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.queue = append(queue, l.queue...)
	}
	return err
}

// listen hears what others send until ctx is done.
func (l *link) listen(ctx context.Context) {
	complaints := complaints{log: l.log}
	joined := func() {
		complaints.over()
		go l.hub.anyChanged()
	}
	for {
		err := l.bus.Listen(ctx, joined, l.heard)
		if ctx.Err() != nil {
			return
		}
		complaints.about(err)
		pauseLong(ctx)
	}
}

// pauseLong waits until the Bus is to be tried again. Not all come at once.
func pauseLong(ctx context.Context) { pause(ctx, again+mathrand.N(again)) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// heard tells the sockets of this process what another one has sent. What is of no form that
// is sent may be a later version's.
func (l *link) heard(text string) {
	from, text, _ := strings.Cut(text, " ")
	kind, text, _ := strings.Cut(text, " ")
	topic, text, _ := strings.Cut(text, " ")
	if from == l.id {
		return
	}
	switch kind {
	case "+":
		cursor, text, _ := strings.Cut(text, " ")
		var name string
		if json.Unmarshal([]byte(text), &name) == nil {
			l.hub.changed(topic, name, cursor)
		}
	case "-":
		l.hub.ended(topic, text)
	}
}
