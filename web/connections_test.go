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
	first, second, third := dial(), dial(), dial()
	if err := ask(first); err != nil { // and so has waited less than the second
		t.Fatal(err)
	}
	await(http.StateIdle)
	fourth := dial()
	if err := ask(second); err == nil {
		t.Error("the connection that waited longest is still there")
	}
	for i, conn := range []net.Conn{first, third, fourth} {
		if err := ask(conn); err != nil {
			t.Errorf("connection %d of those that stay: %v", i, err)
		}
	}
}
