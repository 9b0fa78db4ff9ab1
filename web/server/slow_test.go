//go:build !js

package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
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
	text, err := body(c, r, size, (&budget{total: size, share: size}).holder(""))
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

// The server's own limit for a request gives way to it.
func TestABodyMayTakeLongerThanTheServersReadTimeout(t *testing.T) {
	const timeout = 100 * time.Millisecond
	over := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-over
		text, err := body(w, r, 100, new(budget).holder(""))
		fmt.Fprint(w, text, err)
	}))
	server.Config.ReadTimeout = timeout
	server.Start()
	defer server.Close()

	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	fmt.Fprintf(connection, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n")
	time.AfterFunc(2*timeout, func() { close(over) })
	<-over // the request's time is up before its body is read, or sent
	fmt.Fprint(connection, "true")
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil || string(text) != "true<nil>" {
		t.Errorf("the handler had %q, %v", text, err)
	}
}
