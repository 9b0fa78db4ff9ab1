//go:build !js

package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/session-interop/session-writer/web/internal/turns"
)

// A pace has the times of a Hub. Only tests have another than usual.
type pace struct {
	// sweep is how often sockets are looked for that are silent or too old.
	sweep time.Duration
	// atOnce is how many sockets are closed together after something was missed, and pause
	// how long the next are not: the clients of all come again at once.
	atOnce int
	pause  time.Duration
	// deaf is for how long the Bus may not be heard until there are no sockets.
	deaf time.Duration
	// again is how long to wait until the Bus is tried again, twice that at most.
	again time.Duration
	// closing is how long Close waits.
	closing time.Duration
}

var usual = pace{sweep: 15 * time.Second, atOnce: 20, pause: 100 * time.Millisecond, deaf: 30 * time.Second, again: time.Second, closing: 2 * time.Second}

const (
	// silence is how long a client may send nothing.
	silence = 5 * PingInterval / 2

	// writeTimeout is how long a message may take.
	writeTimeout = 10 * time.Second

	// lastEnds is for how long ends are remembered, for sockets that are about to be open. It
	// is longer than devices are known to a sqlstore.DB without asking the database.
	lastEnds = 15 * time.Second

	// maxPings is how many pings a client may send in a PingInterval. It sends one more whenever
	// it is shown, or online again.
	maxPings = 100

	// maxMessage is the largest size of a client's message, in bytes.
	maxMessage = 64

	// manySessions is how many sessions may have changed before a socket is told that any
	// may have.
	manySessions = 100
)

// A Config says how much a Hub takes. A zero stands for the default.
type Config struct {
	// Sockets is how many there are at most: 10,000. Each takes some 11 KB.
	Sockets int
	// Share is how many of one owner's there are: 100.
	Share int
	// Bus has the Hubs of other processes hear of what changes here, and the other way
	// round. By default there are none. There are no sockets before the Bus is heard for the
	// first time, and none while it is not heard for more than 30 seconds.
	Bus Bus
	// ErrorLog logs what goes wrong with the Bus. By default it is log.Default().
	ErrorLog *log.Logger
}

// A Hub has the sockets of a process, and is a sqlstore.Watcher. It is safe for concurrent use.
type Hub struct {
	config Config
	pace   pace
	link   *link // to other processes, or nil

	mu sync.Mutex
	// sockets are those of each topic.
	sockets map[string][]*socket
	count   int
	closed  bool
	// sweeping is while there are sockets.
	sweeping bool
	// expiring are the sockets that are still to be closed by expire, which runs meanwhile.
	expiring []*socket
	expires  bool
	// hears is while the Bus is heard. deaf is before that, and from when it was not heard for
	// too long: then complained says that the log has that.
	hears, deaf, complained bool
	ends                    ends
	end                     chan struct{}
}

// ends are those of which a Hub heard lately.
type ends struct {
	now, before map[[2]string]bool // by topic and device
	turned      time.Time
}

func (e *ends) add(topic, device string) {
	if at := time.Now(); at.Sub(e.turned) > lastEnds {
		e.now, e.before, e.turned = make(map[[2]string]bool), e.now, at
	}
	e.now[[2]string{topic, device}] = true
}

func (e *ends) has(topic, device string) bool {
	of := [2]string{topic, device}
	return time.Since(e.turned) <= 2*lastEnds && (e.now[of] || e.before[of])
}

// NewHub returns a Hub. With a Bus, Close ends what it does.
func NewHub(config Config) *Hub {
	if config.Sockets == 0 {
		config.Sockets = 10_000
	}
	if config.Share == 0 {
		config.Share = 100
	}
	if config.ErrorLog == nil {
		config.ErrorLog = log.Default()
	}
	h := &Hub{config: config, pace: usual, sockets: make(map[string][]*socket), end: make(chan struct{})}
	if config.Bus != nil {
		h.deaf = true
		h.link = newLink(h, config.Bus, config.ErrorLog)
	}
	return h
}

// Address returns where devices listen, relative to the URL of the session API. It is empty
// while the Bus is not heard: see Deaf.
func (h *Hub) Address(topic, device string) string {
	if h.Deaf() {
		return ""
	}
	return "live"
}

// Deaf reports whether there are no sockets because the Bus is not heard: for 30 seconds, or
// since NewHub. Without a Bus, it never is.
func (h *Hub) Deaf() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.deaf
}

// Count returns how many sockets there are.
func (h *Hub) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

var (
	// errClosed refuses a socket of a server that ends.
	errClosed = fmt.Errorf("%w: this server is about to end", turns.ErrBusy)
	// errEnded refuses one of a device that had access when that was last looked up.
	errEnded = fmt.Errorf("%w: the device is about to lose access", turns.ErrBusy)
	// errDeaf refuses one that could not be told of what other processes change.
	errDeaf = fmt.Errorf("%w: this server does not hear of changes now", turns.ErrBusy)
)

// Listen answers the request for a WebSocket of a device, which is told of what changes in the
// owner's sessions. It returns at once, and an error only if it has not answered. That wraps
// turns.ErrBusy if there are as many sockets as Config allows, or none: see Deaf.
//
// The socket is open for Lifetime at most, or for the time that most says, if that is less and
// not 0. After that, the server closes it within 15 seconds.
//
// Whoever calls it has to make sure that the request comes from no page of another site.
func (h *Hub) Listen(w http.ResponseWriter, r *http.Request, topic, device string, most time.Duration) error {
	if most <= 0 || most > Lifetime {
		most = Lifetime
	}
	s := &socket{device: device, began: time.Now(), most: most, heard: time.Now()}
	if err := h.add(topic, s); err != nil {
		return err
	}
	// An upgrade that fails is answered.
	conn, err := websocket.Accept(withSmallBuffers(w), r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		h.remove(topic, s)
		return nil
	}
	conn.SetReadLimit(maxMessage)
	s.open(conn)
	go func() {
		defer h.remove(topic, s)
		s.read()
	}()
	return nil
}

func (h *Hub) add(topic string, s *socket) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return errClosed
	case h.deaf:
		return errDeaf
	case h.ends.has(topic, s.device), h.ends.has(topic, ""):
		return errEnded
	case h.count >= h.config.Sockets:
		return fmt.Errorf("%w: %d sockets may be open", turns.ErrBusy, h.config.Sockets)
	case len(h.sockets[topic]) >= h.config.Share:
		return fmt.Errorf("%w: of one owner %d sockets may be open", turns.ErrBusy, h.config.Share)
	}
	h.sockets[topic] = append(h.sockets[topic], s)
	h.count++
	if !h.sweeping {
		h.sweeping = true
		go h.sweep()
	}
	return nil
}

func (h *Hub) remove(topic string, s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.sockets[topic]
	at := slices.Index(of, s)
	if at < 0 {
		return
	}
	if len(of) == 1 {
		delete(h.sockets, topic)
	} else {
		h.sockets[topic] = slices.Delete(of, at, at+1)
	}
	h.count--
}

// sweep closes the sockets that are silent or too old, for as long as there are any.
func (h *Hub) sweep() {
	tick := time.NewTicker(h.pace.sweep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-h.end:
			return
		}
		now := time.Now()
		h.mu.Lock()
		h.sweeping = h.count > 0
		goOn := h.sweeping
		h.mu.Unlock()
		if !goOn {
			return
		}
		for _, s := range h.all() {
			switch silent, left := s.age(now); {
			case silent > silence:
				go s.drop()
			case left < 0:
				go s.close(CodeExpired)
			}
		}
	}
}

// all returns all sockets.
func (h *Hub) all() []*socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*socket, 0, h.count)
	for _, of := range h.sockets {
		all = append(all, of...)
	}
	return all
}

// of returns the sockets of an owner.
func (h *Hub) of(topic string) []*socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.sockets[topic])
}

// Changed implements sqlstore.Watcher.
func (h *Hub) Changed(topic, session, cursor string) {
	h.changed(topic, session, cursor)
	if h.link != nil {
		h.link.changed(topic, session, cursor)
	}
}

func (h *Hub) changed(topic, session, cursor string) {
	for _, s := range h.of(topic) {
		s.tell(session, cursor)
	}
}

// message returns what a socket is sent.
func message(session, cursor string) []byte {
	text, err := json.Marshal(struct {
		Session string `json:"session,omitempty"`
		Cursor  string `json:"cursor,omitempty"`
	}{session, cursor})
	if err != nil {
		panic(err) // a fault of this package
	}
	return text
}

// Ended implements sqlstore.Watcher.
func (h *Hub) Ended(topic, device string) {
	h.ended(topic, device)
	if h.link != nil {
		h.link.ended(topic, device)
	}
}

func (h *Hub) ended(topic, device string) {
	h.mu.Lock()
	h.ends.add(topic, device)
	of := slices.Clone(h.sockets[topic])
	h.mu.Unlock()
	for _, s := range of {
		if device == "" || s.device == device {
			go s.close(CodeEnded)
		}
	}
}

// hear has devices come, as the Bus is heard from now on. Those that are here may have missed
// something.
func (h *Hub) hear() {
	h.mu.Lock()
	complained := h.complained
	h.hears, h.deaf, h.complained = true, false, false
	h.expireThose()
	h.mu.Unlock()
	if complained {
		h.config.ErrorLog.Print("live: other servers are heard again, and devices told of changes")
	}
}

// miss notes that the Bus is not heard any more, and reports whether it was until now.
func (h *Hub) miss() (heard bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	heard, h.hears = h.hears, false
	return heard
}

// deafen has all devices ask at intervals, as they would not be told of all changes. It is called
// when the Bus was not heard for too long.
func (h *Hub) deafen() {
	h.mu.Lock()
	if h.hears || h.complained || h.closed {
		h.mu.Unlock()
		return
	}
	h.deaf, h.complained = true, true
	h.expireThose()
	h.mu.Unlock()
	h.config.ErrorLog.Printf("live: other servers are not heard for %v: devices ask at intervals until they are", h.pace.deaf)
}

// expireAll has all sockets closed, some at a time, so that the clients come anew: something may
// have been missed, also that they have no access any more. It returns at once.
func (h *Hub) expireAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expireThose()
}

// expireThose is expireAll, with the lock held.
func (h *Hub) expireThose() {
	for _, of := range h.sockets {
		for _, s := range of {
			if !s.expires {
				s.expires = true
				h.expiring = append(h.expiring, s)
			}
		}
	}
	if len(h.expiring) > 0 && !h.expires && !h.closed {
		h.expires = true
		go h.expire()
	}
}

func (h *Hub) expire() {
	for {
		h.mu.Lock()
		some := h.expiring[:min(len(h.expiring), h.pace.atOnce)]
		h.expiring = h.expiring[len(some):]
		if len(some) == 0 {
			h.expiring, h.expires = nil, false
		}
		h.mu.Unlock()
		if len(some) == 0 {
			return
		}
		for _, s := range some {
			go s.close(CodeExpired)
		}
		select {
		case <-time.After(h.pace.pause):
		case <-h.end:
			return
		}
	}
}

// Close closes all sockets, and lets none be opened any more. It waits until they are closed,
// two seconds at most: http.Server's Shutdown does not. Then it has the Bus send what is not sent
// yet, for which it waits one second more. A program whose requests save calls it once more when
// Shutdown has waited for them, to send what they have changed meanwhile.
func (h *Hub) Close() {
	h.mu.Lock()
	was := h.closed
	h.closed = true
	h.mu.Unlock()
	if !was {
		close(h.end)
		h.closeAll()
	}
	if h.link != nil {
		h.link.close()
	}
}

// closeAll waits until all sockets are closed, or for as long as a pace says: there may be clients
// that do not answer.
func (h *Hub) closeAll() {
	closed := make(chan struct{})
	var all sync.WaitGroup
	for _, s := range h.all() {
		all.Go(func() { s.close(CodeRestart) })
	}
	go func() {
		all.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(h.pace.closing):
	}
}

// A socket is of a device.
type socket struct {
	device string
	// began is when it began, and most how long it may be open.
	began time.Time
	most  time.Duration
	// expires says that it is among Hub.expiring, or was, with the Hub's lock.
	expires bool

	mu   sync.Mutex
	conn *websocket.Conn // nil before it is open
	// code closes it as soon as it is open, unless it is 0.
	code  websocket.StatusCode
	heard time.Time
	// unsent are the messages that are still to be sent.
	unsent  []unsent
	sending bool
}

type unsent struct{ session, cursor string }

// open says that the socket is open.
func (s *socket) open(conn *websocket.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	if s.code != 0 {
		go func() { _ = conn.Close(s.code, "") }()
	} else if len(s.unsent) > 0 {
		s.sending = true
		go s.send()
	}
}

// age returns for how long the client has sent nothing, and for how long the socket may still be
// open.
func (s *socket) age(now time.Time) (silent, left time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.heard), s.most - now.Sub(s.began)
}

// read answers pings until the socket is closed.
func (s *socket) read() {
	var text [maxMessage]byte
	var counted time.Time
	pings := 0
	for {
		kind, from, err := s.conn.Reader(context.Background())
		n := 0
		if err == nil {
			n, err = io.ReadFull(from, text[:])
		}
		switch {
		case !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) || n == 0:
			s.drop() // the client is gone, or has sent too much
			return
		case kind != websocket.MessageText || string(text[:n]) != "ping":
			s.close(websocket.StatusPolicyViolation)
			return
		}
		now := time.Now()
		if now.Sub(counted) > PingInterval {
			counted, pings = now, 0
		}
		if pings++; pings > maxPings {
			s.close(websocket.StatusPolicyViolation)
			return
		}
		s.mu.Lock()
		s.heard = now
		s.mu.Unlock()
		if s.write([]byte("pong")) != nil {
			return
		}
	}
}

func (s *socket) write(text []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	err := s.conn.Write(ctx, websocket.MessageText, text)
	if err != nil {
		s.drop()
	}
	return err
}

// tell has a message sent. Of those about one session that wait, one is.
func (s *socket) tell(session, cursor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.unsent, func(u unsent) bool { return u.session == session || u.session == "" })
	switch {
	case session == "" || at < 0 && len(s.unsent) >= manySessions:
		s.unsent = append(s.unsent[:0], unsent{})
	case at < 0:
		s.unsent = append(s.unsent, unsent{session, cursor})
	case s.unsent[at].session != "":
		s.unsent[at].cursor = furthest(s.unsent[at].cursor, cursor)
	}
	if s.conn != nil && !s.sending {
		s.sending = true
		go s.send()
	}
}

// send sends until nothing is unsent.
func (s *socket) send() {
	for {
		s.mu.Lock()
		next := s.unsent
		s.unsent = nil
		s.sending = len(next) > 0
		s.mu.Unlock()
		if len(next) == 0 {
			return
		}
		for _, u := range next {
			if s.write(message(u.session, u.cursor)) != nil {
				return // sending stays true: there is nothing to be sent any more
			}
		}
	}
}

// close closes the socket, and returns when it is closed.
func (s *socket) close(code websocket.StatusCode) {
	s.mu.Lock()
	conn := s.conn
	if conn == nil {
		s.code = code
	}
	s.mu.Unlock()
	if conn != nil {
		_ = conn.Close(code, "")
	}
}

// drop ends the socket of a client that is gone.
func (s *socket) drop() {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		_ = conn.CloseNow()
	}
}
