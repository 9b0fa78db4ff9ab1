//go:build !js

package live

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/session-interop/session-writer/web/internal/turns"
)

// TestMain also has no goroutine of a Hub be left after all tests.
func TestMain(m *testing.M) {
	code := m.Run()
	left := func() string {
		var stacks strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		return stacks.String()
	}
	for began := time.Now(); code == 0 && strings.Contains(left(), "live.(*"); time.Sleep(time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			fmt.Fprintln(os.Stderr, "goroutines are left:", left())
			code = 1
		}
	}
	os.Exit(code)
}

// await waits until a condition holds, which others change.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// set sets a variable for the test.
func set[T any](t testing.TB, variable *T, value T) {
	had := *variable
	*variable = value
	t.Cleanup(func() { *variable = had })
}

// A door opens sockets of a Hub. Their topic and device are in the URL.
type door struct {
	*Hub
	url string
	// most is how long the next sockets may be open.
	most time.Duration
	// answering is held while err is used, which is the last that Listen returned.
	answering sync.Mutex
	err       error
}

func newDoor(t testing.TB, config Config) *door {
	t.Helper()
	d := &door{Hub: NewHub(config)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := d.Listen(w, r, r.URL.Query().Get("topic"), r.URL.Query().Get("device"), d.most)
		d.answering.Lock()
		defer d.answering.Unlock()
		if d.err = err; err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(func() {
		d.Close()
		server.Close()
	})
	d.url = server.URL
	return d
}

// A client is one end of a socket.
type client struct{ *websocket.Conn }

// open opens a socket, unless Listen refuses it.
func (d *door) open(t testing.TB, topic, device string) (client, error) {
	t.Helper()
	conn, res, err := websocket.Dial(t.Context(), d.url+"?topic="+topic+"&device="+device, nil)
	if res == nil || err != nil && res.StatusCode != http.StatusServiceUnavailable {
		t.Fatal(err)
	}
	if err != nil {
		d.answering.Lock()
		defer d.answering.Unlock()
		return client{}, d.err
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	c := client{conn}
	c.say(t, "ping")
	c.hears(t, "pong") // it is open at the other end
	return c, nil
}

func (d *door) mustOpen(t testing.TB, topic, device string) client {
	t.Helper()
	c, err := d.open(t, topic, device)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c client) say(t testing.TB, text string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func (c client) hears(t testing.TB, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, text, err := c.Read(ctx); err != nil || string(text) != want {
		t.Fatalf("heard %q, %v, want %q", text, err, want)
	}
}

func (c client) ends(t testing.TB, want websocket.StatusCode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, text, err := c.Read(ctx); err == nil || websocket.CloseStatus(err) != want {
		t.Fatalf("heard %q, %v, want the end with %d", text, err, want)
	}
}

func TestThereAreOnlySoManySockets(t *testing.T) {
	d := newDoor(t, Config{Sockets: 3, Share: 2})
	first := d.mustOpen(t, "ada", "1")
	d.mustOpen(t, "ada", "2")
	if _, err := d.open(t, "ada", "3"); !errors.Is(err, turns.ErrBusy) || !strings.Contains(err.Error(), "2") {
		t.Errorf("the third of Ada: %v, want ErrBusy", err)
	}
	d.mustOpen(t, "bob", "1")
	if _, err := d.open(t, "eve", "1"); !errors.Is(err, turns.ErrBusy) || !strings.Contains(err.Error(), "3") {
		t.Errorf("the fourth of all: %v, want ErrBusy", err)
	}
	_ = first.CloseNow()
	await(t, "there is room again", func() bool { return d.Count() == 2 })
	d.mustOpen(t, "ada", "3")
	if d.Count() != 3 {
		t.Errorf("%d sockets, want 3", d.Count())
	}
}

func TestARequestThatIsNoWebSocketTakesNoPlace(t *testing.T) {
	d := newDoor(t, Config{})
	for _, header := range []string{"Upgrade", "Connection"} { // one alone is not enough
		req, err := http.NewRequest("GET", d.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(header, "websocket")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUpgradeRequired || d.Count() != 0 {
			t.Errorf("with %s: %d, %d sockets, want 426 and none", header, res.StatusCode, d.Count())
		}
	}
	// Nor does one whose connection cannot be taken over, which something in between may hide.
	r := httptest.NewRequest("GET", "/", nil)
	for name, value := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	if err := d.Listen(w, r, "ada", "1", 0); err != nil || w.Code != http.StatusNotImplemented || d.Count() != 0 {
		t.Errorf("%v, %d, %d sockets, want 501 and none", err, w.Code, d.Count())
	}
}

func TestWhoIsTold(t *testing.T) {
	d := newDoor(t, Config{})
	ada, other, bob := d.mustOpen(t, "ada", "1"), d.mustOpen(t, "ada", "2"), d.mustOpen(t, "bob", "1")
	d.Changed("ada", "cart", "e-1")
	d.Changed("bob", `a "name"`, "")
	d.Changed("nobody", "cart", "e-1")
	for _, c := range []client{ada, other} {
		c.hears(t, `{"session":"cart","cursor":"e-1"}`)
	}
	bob.hears(t, `{"session":"a \"name\""}`)
	d.Changed("bob", "", "")
	bob.hears(t, `{}`)

	d.Ended("ada", "2")
	other.ends(t, CodeEnded)
	d.Changed("ada", "cart", "e-2")
	ada.hears(t, `{"session":"cart","cursor":"e-2"}`)
	// It may have been let in before it lost access.
	if _, err := d.open(t, "ada", "2"); !errors.Is(err, turns.ErrBusy) {
		t.Errorf("who has just lost access: %v, want ErrBusy", err)
	}
	d.Ended("ada", "")
	ada.ends(t, CodeEnded)
	if _, err := d.open(t, "ada", "3"); !errors.Is(err, turns.ErrBusy) {
		t.Errorf("where nobody has access any more: %v, want ErrBusy", err)
	}
	d.Changed("bob", "cart", "e-3")
	bob.hears(t, `{"session":"cart","cursor":"e-3"}`)
}

func TestEndsAreForgotten(t *testing.T) {
	var e ends
	e.add("ada", "1")
	if !e.has("ada", "1") || e.has("ada", "") || e.has("ada", "2") {
		t.Error("it does not have just what was added")
	}
	e.turned = e.turned.Add(-lastEnds - time.Second)
	e.add("bob", "1")
	if !e.has("ada", "1") || !e.has("bob", "1") {
		t.Error("it has forgotten too soon")
	}
	e.turned = e.turned.Add(-lastEnds - time.Second)
	e.add("bob", "2")
	if e.has("ada", "1") || !e.has("bob", "1") {
		t.Error("it has not forgotten just what is old")
	}
	e.turned = e.turned.Add(-2*lastEnds - time.Second)
	if e.has("bob", "2") {
		t.Error("it has not forgotten what is old, as nothing was added")
	}
}

func TestFurthest(t *testing.T) {
	for _, test := range []struct{ one, other, want string }{
		{"e-1", "e-2", "e-2"},
		{"e-9", "e-10", "e-10"},
		{"e-1", "e-1", "e-1"},
		{"e-1", "f-2", ""},
		{"e-1", "", ""},
		{"", "", ""},
		{"e-x", "e-1", ""},
		{"e", "e", ""},
	} {
		if got, back := furthest(test.one, test.other), furthest(test.other, test.one); got != test.want || back != test.want {
			t.Errorf("of %q and %q: %q and %q, want %q", test.one, test.other, got, back, test.want)
		}
	}
}

// A stuck socket is one whose client reads nothing: what was written fills all buffers.
func stuck(t *testing.T, d *door, topic string) *socket {
	t.Helper()
	d.mustOpen(t, topic, "stuck")
	s := d.of(topic)[0]
	name := strings.Repeat("x", 1<<20)
	for i := 0; ; i++ {
		d.Changed(topic, name, "")
		s.mu.Lock()
		waits := len(s.unsent) > 0
		s.mu.Unlock()
		if waits && i > 20 {
			return s
		}
	}
}

func TestWhatWaitsForASlowClientIsToldOnce(t *testing.T) {
	d := newDoor(t, Config{})
	// Not open yet, so that all waits.
	s := &socket{device: "1", began: time.Now(), heard: time.Now()}
	if err := d.add("ada", s); err != nil {
		t.Fatal(err)
	}
	waits := func() (texts []string) {
		for _, u := range s.unsent {
			texts = append(texts, string(message(u.session, u.cursor)))
		}
		return texts
	}
	for i := range 3 {
		d.Changed("ada", "cart", fmt.Sprint("e-", i))
		d.Changed("ada", "another", fmt.Sprint("e-", i))
	}
	if got := fmt.Sprint(waits()); got != `[{"session":"cart","cursor":"e-2"} {"session":"another","cursor":"e-2"}]` {
		t.Errorf("%s waits, want the last of each session", got)
	}
	// Requests tell of their changes in any order.
	d.Changed("ada", "cart", "e-1")
	d.Changed("ada", "another", "f-1")
	d.Changed("ada", "another", "f-2")
	if got := fmt.Sprint(waits()); got != `[{"session":"cart","cursor":"e-2"} {"session":"another"}]` {
		t.Errorf("%s waits, want the furthest, or none if that is not known", got)
	}
	for i := range manySessions + 10 {
		d.Changed("ada", fmt.Sprint(i), "")
	}
	if got := fmt.Sprint(waits()); got != `[{}]` {
		t.Errorf("%s waits after many sessions, want that any may have changed", got)
	}
	d.remove("ada", s)
	d.remove("ada", s) // is no error
	if d.Count() != 0 {
		t.Errorf("%d sockets, want none", d.Count())
	}
}

func TestASlowClientHoldsNobody(t *testing.T) {
	d := newDoor(t, Config{})
	stuck(t, d, "ada")
	quick := d.mustOpen(t, "ada", "quick")
	for i := range 100 {
		d.Changed("ada", "cart", fmt.Sprint("e-", i))
		quick.hears(t, fmt.Sprintf(`{"session":"cart","cursor":"e-%d"}`, i))
	}
}

func TestCloseWaitsForNobodyThatDoesNotAnswer(t *testing.T) {
	set(t, &usual.closing, 10*time.Millisecond)
	d := newDoor(t, Config{})
	stuck(t, d, "ada")
	d.Close()
	if _, err := d.open(t, "bob", "1"); !errors.Is(err, turns.ErrBusy) {
		t.Errorf("afterwards: %v, want ErrBusy", err)
	}
}

func TestCloseTwice(t *testing.T) {
	d := newDoor(t, Config{Bus: new(memoryBus)})
	await(t, "the bus is heard", func() bool { return !d.Deaf() })
	one := d.mustOpen(t, "ada", "1")
	var both sync.WaitGroup
	both.Go(d.Close)
	both.Go(d.Close)
	one.ends(t, CodeRestart)
	both.Wait()
	d.Close()
	d.Changed("ada", "cart", "")
	d.Ended("ada", "")
}

func TestSilentAndOldSocketsAreClosed(t *testing.T) {
	set(t, &usual.sweep, time.Millisecond)
	d := newDoor(t, Config{})
	silent, old, good := d.mustOpen(t, "ada", "silent"), d.mustOpen(t, "ada", "old"), d.mustOpen(t, "ada", "good")
	d.most = 2 * Lifetime // is too much
	older := d.mustOpen(t, "ada", "old")
	d.most = time.Hour
	short := d.mustOpen(t, "ada", "short")
	d.most = 0
	for _, s := range d.of("ada") {
		s.mu.Lock()
		switch s.device {
		case "silent":
			s.heard = s.heard.Add(-silence - time.Minute)
		case "old":
			s.began = s.began.Add(-Lifetime - time.Minute)
		case "short":
			s.began = s.began.Add(-time.Hour - time.Minute)
		case "good":
			s.began = s.began.Add(-time.Hour - time.Minute)
		}
		s.mu.Unlock()
	}
	silent.ends(t, -1)
	old.ends(t, CodeExpired)
	older.ends(t, CodeExpired)
	short.ends(t, CodeExpired)
	await(t, "only the good one is left", func() bool { return d.Count() == 1 })
	good.say(t, "ping")
	good.hears(t, "pong")
	_ = good.CloseNow()
	await(t, "nobody looks for sockets when there are none", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return !d.sweeping
	})
	d.mustOpen(t, "ada", "good")
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.sweeping {
		t.Error("nobody looks for sockets again")
	}
}

func TestAllComeAnew(t *testing.T) {
	set(t, &usual.atOnce, 2)
	set(t, &usual.pause, time.Millisecond)
	d := newDoor(t, Config{})
	for range 2 {
		var all []client
		for i := range 7 {
			all = append(all, d.mustOpen(t, fmt.Sprint(i), "1"))
		}
		for range 3 {
			d.expireAll()
		}
		later := d.mustOpen(t, "later", "1")
		for _, c := range all {
			c.ends(t, CodeExpired)
		}
		await(t, "it is over", func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return !d.expires && d.count == 1
		})
		later.say(t, "ping")
		later.hears(t, "pong")
		_ = later.CloseNow()
	}
}

// A client need not wait for the answer before it sends a ping.
func TestWhatComesWithTheRequestIsRead(t *testing.T) {
	d := newDoor(t, Config{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ping := []byte{0x81, 0x84, 0, 0, 0, 0, 'p', 'i', 'n', 'g'} // RFC 6455, section 5.2
	request := "GET /?topic=ada&device=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
	const pings = 40 // more than a small buffer has
	if _, err := conn.Write(append([]byte(request), bytes.Repeat(ping, pings)...)); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	if res, err := http.ReadResponse(reader, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v, want 101", res, err)
	}
	got := make([]byte, pings*6)
	if _, err := io.ReadFull(reader, got); err != nil || !bytes.Equal(got, bytes.Repeat([]byte("\x81\x04pong"), pings)) {
		t.Errorf("got %q, %v, want %d pongs", got, err, pings)
	}
}

func TestWhoPingsTooOftenIsClosed(t *testing.T) {
	c := newDoor(t, Config{}).mustOpen(t, "ada", "one")
	for range maxPings - 1 { // one was sent when it was opened
		c.say(t, "ping")
		c.hears(t, "pong")
	}
	c.say(t, "ping")
	c.ends(t, websocket.StatusPolicyViolation)
}
