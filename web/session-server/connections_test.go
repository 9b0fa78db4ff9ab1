//go:build !js

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestTheConnectionThatWaitsLongestGivesWay(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	counted := &connections{most: 3}
	states := make(chan http.ConnState, 1000)
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		counted.changed(conn, state)
		states <- state
	}
	server.Start()
	t.Cleanup(server.Close)
	await := func(want http.ConnState) {
		for state := range states {
			if state == want {
				return
			}
		}
	}
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		await(http.StateNew)
		return conn
	}
	ask := func(conn net.Conn) error {
		if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			return err
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	use := func(name string, conn net.Conn, stays bool) {
		t.Helper()
		if err := ask(conn); stays != (err == nil) {
			t.Errorf("the %s connection: %v, want it to be there: %t", name, err, stays)
		} else if stays {
			await(http.StateIdle)
		}
	}
	first, second, third := dial(), dial(), dial()
	if n := counted.count(); n != 3 {
		t.Errorf("it counts %d connections, want 3", n)
	}
	use("first", first, true)
	fourth := dial()
	use("second, which had waited longest for its first request,", second, false)
	use("first", first, true)
	use("third", third, true)
	use("fourth", fourth, true)
	fifth := dial()
	use("first, which had waited longest for its next request,", first, false)
	use("third", third, true)
	use("fourth", fourth, true)
	use("fifth", fifth, true)
}

func TestASocketIsNoneOfTheConnections(t *testing.T) {
	counted := &connections{most: 1}
	hijacked := make(chan net.Conn)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
		}
		hijacked <- conn
	}))
	server.Config.ConnState = counted.changed
	server.Start()
	defer server.Close()
	var sockets []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err == nil {
			_, err = fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, conn, <-hijacked)
		if n := counted.count(); n != 0 {
			t.Errorf("it counts %d connections, want 0", n)
		}
	}
	for _, conn := range sockets {
		if err := conn.Close(); err != nil {
			t.Errorf("it is closed already: %v", err)
		}
	}
}
