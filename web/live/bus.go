//go:build !js

package live

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	mathrand "math/rand/v2"
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
	// gather is how long what is to be sent waits after something was sent. So the Bus has little
	// to do at any rate of changes, and sends at once when nothing was sent lately.
	gather = 10 * time.Millisecond

	// maxQueued is how many changes may wait to be sent while the Bus does not work, and how many
	// ends. If there are more of either, what is sent of those is that anything may have happened.
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
	// queue has what waits to be sent.
	queue queue
	wake  chan struct{}
}

// A queue has what waits to be sent.
type queue struct {
	changes map[subject]string // cursors
	ends    map[subject]bool
	// any stands for all changes, and for the ends that are missing: there were too many.
	any bool
}

// A subject is what a change or an end is of: an owner's topic, and the name of a session or the ID
// of a device.
type subject struct{ topic, what string }

func newQueue() queue { return queue{changes: make(map[subject]string), ends: make(map[subject]bool)} }

func (q *queue) empty() bool { return len(q.changes) == 0 && len(q.ends) == 0 && !q.any }

func (q *queue) change(session subject, cursor string) {
	had, there := q.changes[session]
	switch {
	case q.any:
	case there:
		q.changes[session] = furthest(had, cursor)
	case len(q.changes) >= maxQueued:
		q.all()
	default:
		q.changes[session] = cursor
	}
}

func (q *queue) end(device subject) {
	if len(q.ends) < maxQueued || q.ends[device] {
		q.ends[device] = true
		return
	}
	q.all()
}

// all has any stand for what waits, and for what comes.
func (q *queue) all() {
	q.any = true
	clear(q.changes)
}

// putBack puts back what was taken.
func (q *queue) putBack(taken queue) {
	for session, cursor := range taken.changes {
		q.change(session, cursor)
	}
	for device := range taken.ends {
		q.end(device)
	}
	if taken.any {
		q.all()
	}
}

// What is sent is the link's id, a space, and one of these: + for a change, with the topic, the
// cursor and the session's name as a JSON string; - for an end, with the topic and the device's
// ID; or * if anybody's session may have changed, and anybody may have lost access. Between them
// are spaces.

// texts returns what is sent. Who has lost access is told of first.
func (q *queue) texts(id string) (texts []string) {
	for device := range q.ends {
		texts = append(texts, fmt.Sprintf("%s - %s %s", id, device.topic, device.what))
	}
	for session, cursor := range q.changes {
		name, err := json.Marshal(session.what)
		if err != nil {
			panic(err) // a fault of this package
		}
		texts = append(texts, fmt.Sprintf("%s + %s %s %s", id, session.topic, cursor, name))
	}
	if q.any {
		texts = append(texts, id+" *")
	}
	return texts
}

func newLink(h *Hub, bus Bus, log *log.Logger) *link {
	ctx, end := context.WithCancel(context.Background())
	l := &link{hub: h, bus: bus, log: log, id: rand.Text()[:12], end: end, queue: newQueue(), wake: make(chan struct{}, 1)}
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

func (l *link) changed(topic, session, cursor string) {
	l.add(func(q *queue) { q.change(subject{topic, session}, cursor) })
}

func (l *link) ended(topic, device string) {
	l.add(func(q *queue) { q.end(subject{topic, device}) })
}

func (l *link) add(to func(*queue)) {
	l.mu.Lock()
	to(&l.queue)
	l.mu.Unlock()
	l.awake()
}

// awake has send look.
func (l *link) awake() {
	select {
	case l.wake <- struct{}{}:
	default: // it is about to
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
			l.pauseLong(ctx)
			l.awake()
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
	taken := l.queue
	l.queue = newQueue()
	l.mu.Unlock()
	if taken.empty() {
		return nil
	}
	err := l.bus.Send(ctx, taken.texts(l.id))
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.queue.putBack(taken)
	}
	return err
}

// listen hears what others send until ctx is done.
func (l *link) listen(ctx context.Context) {
	complaints := complaints{log: l.log}
	deaf := time.AfterFunc(l.hub.pace.deaf, l.hub.deafen)
	defer deaf.Stop()
	for {
		err := l.bus.Listen(ctx, func() {
			complaints.over()
			deaf.Stop()
			l.hub.hear()
		}, l.heard)
		if ctx.Err() != nil {
			return
		}
		if l.hub.miss() {
			deaf.Reset(l.hub.pace.deaf)
		}
		complaints.about(err)
		l.pauseLong(ctx)
	}
}

// pauseLong waits until the Bus is to be tried again. Not all come at once.
func (l *link) pauseLong(ctx context.Context) {
	pause(ctx, l.hub.pace.again+mathrand.N(l.hub.pace.again))
}

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
	case "*":
		l.hub.expireAll()
	}
}
