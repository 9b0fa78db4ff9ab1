//go:build !js

package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A clock records the deadlines that it is asked for.
type clock struct {
	*httptest.ResponseRecorder
	reads, writes []time.Time
}

func (c *clock) SetReadDeadline(at time.Time) error  { c.reads = append(c.reads, at); return nil }
func (c *clock) SetWriteDeadline(at time.Time) error { c.writes = append(c.writes, at); return nil }

// bySteps gives so many bytes at a time.
type bySteps struct {
	io.Reader
	step int
}

func (b bySteps) Read(p []byte) (int, error) { return b.Reader.Read(p[:min(len(p), b.step)]) }

// 1 MB at 200 kbit/s, which is 25,000 bytes a second, must pass.
func TestASlowLineIsWaitedFor(t *testing.T) {
	const size, rate = 1_000_000, 25_000
	c := &clock{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodPost, "/", bySteps{strings.NewReader(strings.Repeat(" ", size)), 1000})
	r.Header.Set("Content-Type", "application/json")
	began := time.Now()
	text, err := (&sessions{incoming: incoming{most: 1}}).body(c, r, size, (&budget{total: size, share: size}).holder(""))
	if err != nil || len(text) != size {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	for i, at := range c.reads {
		due := began.Add(time.Duration(i*1000) * time.Second / rate)
		if at.Before(due.Add(patience / 2)) {
			t.Fatalf("what is due %v after the beginning may come until %v after it", due.Sub(began), at.Sub(began))
		}
	}
	if last := c.reads[len(c.reads)-1]; last.Sub(began) > 10*time.Minute {
		t.Errorf("it may take %v", last.Sub(began))
	}
	answerText(c, http.StatusOK, text)
	if n := len(c.writes); c.writes[n-1].Sub(began) < size*time.Second/rate {
		t.Errorf("the answer may take until %v", c.writes)
	}
}

// A pipe is a listener at which one connection comes, whose time is that of a
// synctest bubble.
type pipe struct {
	server chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipe() (listener *pipe, client net.Conn) {
	client, server := net.Pipe()
	p := &pipe{server: make(chan net.Conn, 1), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	p.server <- server
	return p, client
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case conn := <-p.server:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error   { p.close(); return nil }
func (p *pipe) Addr() net.Addr { return &net.TCPAddr{} }

// The server's own limit for a request gives way to it.
func TestABodyMayTakeLongerThanTheServersReadTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 15 * time.Second
		server := &http.Server{
			ReadTimeout: timeout,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(2 * timeout) // the request's time is up before its body is read
				text, err := (&sessions{incoming: incoming{most: 1}}).body(w, r, 100, new(budget).holder(""))
				fmt.Fprint(w, text, err)
			}),
		}
		listener, connection := newPipe()
		go func() { _ = server.Serve(listener) }()
		defer func() { _ = errors.Join(connection.Close(), server.Close()) }()

		fmt.Fprintf(connection, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n")
		time.Sleep(2*timeout + time.Second) // or sent
		fmt.Fprint(connection, "true")
		answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil || string(text) != "true<nil>" {
			t.Errorf("the handler had %q, %v", text, err)
		}
	})
}

// Of bodies that hold what others need, those give way of which nothing comes, also
// when much has come of them before.
func TestStalledBodiesGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &incoming{most: 10}
		begin := func() (*slow, *io.PipeWriter, *clock) {
			r, w := io.Pipe()
			c := &clock{ResponseRecorder: httptest.NewRecorder()}
			body := newSlow(c, r)
			in.add(body)
			go func() { _, _ = io.Copy(io.Discard, body) }()
			return body, w, c
		}
		line, sends, _ := begin()
		much, sendsMuch, deadlines := begin()
		little, sendsLittle, _ := begin()
		_, _ = sendsMuch.Write(make([]byte, 1<<20))
		for range 20 {
			time.Sleep(time.Second)
			_, _ = sends.Write(make([]byte, slowest))
			_, _ = sendsLittle.Write([]byte{' '}) // as if that were something
		}
		in.giveWay()
		if line.prolong() || !much.prolong() || !little.prolong() {
			t.Errorf("given up are the slow line %t, much %t, little by little %t; want only the last two", line.prolong(), much.prolong(), little.prolong())
		}
		if last := deadlines.reads[len(deadlines.reads)-1]; last.After(time.Now()) {
			t.Errorf("what is stalled is read until %v", last)
		}
		for _, w := range []*io.PipeWriter{sends, sendsMuch, sendsLittle} {
			_ = w.Close()
		}
	})
}

// Nor does that limit end a request that waits for its turn, before its body is read or
// afterwards.
func TestARequestMayWaitLongerThanTheServersReadTimeout(t *testing.T) {
	for _, test := range []struct {
		sent string
		read bool
	}{
		{"Content-Length: 4\r\n\r\ntrue", true},
		{"Content-Length: 4\r\n\r\ntrue", false},
		{"Content-Length: 4\r\n\r\n", false},
		{"\r\n", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			const timeout = 10 * time.Second
			server := &http.Server{
				ReadTimeout: timeout,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					var err error
					if test.read {
						_, err = (&sessions{incoming: incoming{most: 1}}).body(w, r, 100, new(budget).holder(""))
					}
					select {
					case <-r.Context().Done():
					case <-time.After(2*patience + timeout):
					}
					_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
					fmt.Fprintln(w, r.Context().Err(), err)
				}),
			}
			listener, connection := newPipe()
			go func() { _ = server.Serve(listener) }()
			defer func() { _ = errors.Join(connection.Close(), server.Close()) }()
			fmt.Fprint(connection, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+test.sent)
			answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(answer.Body)
			if err != nil || string(text) != "<nil> <nil>\n" {
				t.Errorf("%q: the request was %q, %v, want not given up", test.sent, text, err)
			}
		})
	}
}
