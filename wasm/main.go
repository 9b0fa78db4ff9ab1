//go:build js

// Command wasm is the module that the npm package session-writer loads. Its
// exports are the engine's calls; js/src/module.js is their only user, and the
// two are built together.
//
// Text goes both ways through one buffer. The caller asks for room with
// buffer, writes its argument there as UTF-8, and passes the number of bytes;
// the reply is in the buffer afterwards, and its number of bytes is what the
// call returned. Only what is saved never comes here: the caller gives it to
// the storage. Less than 0 stands for a failure: one of the codes below. Times
// are milliseconds since 1970, from the caller, for whom they are cheaper to
// come by.
package main

//lint:file-ignore U1000 staticcheck does not know that exports are used

import (
	"strconv"
	"unsafe"

	"github.com/session-interop/session-writer/internal/engine"
	"github.com/session-interop/session-writer/wasm/internal/areas"
)

// protocol changes with every change to the exports that an older shim, or
// module, could not do without.
const protocol = 3

const (
	failedDisabled = -1
	failedQuota    = -2
	failedStorage  = -3 // the storage threw what no storage throws
	failedInternal = -5 // message says what
	failedServer   = -6 // what a server sent is no item
)

// maxArgument keeps a batch that no browser's storage could ever take from
// using up the memory that all sessions of the page live in.
const maxArgument = 64 << 20

var (
	buf      []byte
	failure  string
	sessions = make(map[int32]*engine.Session)
	opened   int32

	// clocks are shared by the sessions of a name in each storage area, so that
	// of two saves within a millisecond the later wins. What one session has
	// seen stays out of another's stamps: it may be from a clock that was wrong.
	clocks [3]map[string]*engine.Clock
)

func main() { select {} } // the exports are called while main waits

//go:wasmexport protocol
func protocolVersion() int32 { return protocol }

// buffer returns the buffer, with room for size bytes; and null when that is
// more than any storage takes.
//
//go:wasmexport buffer
func buffer(size int32) unsafe.Pointer {
	if size > maxArgument {
		return nil
	}
	if int(size) > cap(buf) {
		buf = make([]byte, size)
	}
	return unsafe.Pointer(unsafe.SliceData(buf[:cap(buf)]))
}

// message replies with the sentence on the last failure.
//
//go:wasmexport message
func message() int32 { return reply([]byte(failure)) }

// open opens a session, whose name is in the buffer, and returns its handle.
//
//go:wasmexport open
func open(where, length int32, maxAge float64) (handle int32) {
	return try(func() (int32, error) {
		name := argument(length)
		storage, err := areas.Open(where)
		if err != nil {
			return 0, err
		}
		if clocks[where] == nil {
			clocks[where] = make(map[string]*engine.Clock)
		}
		if clocks[where][name] == nil {
			clocks[where][name] = new(engine.Clock)
		}
		s, err := engine.Open(storage, name, clocks[where][name], int64(maxAge))
		if err != nil {
			return 0, err
		}
		if err := s.Told(true); err != nil {
			return 0, err
		}
		opened++
		sessions[opened] = s
		return opened, nil
	})
}

//go:wasmexport close
func closeSession(handle int32) {
	delete(sessions, handle)
}

// save saves what the storage was given, a JSON object of about so many bytes.
// While the session is watched it replies with the change. What it returns is
// the number of bytes times four, and one more when tidy has something to do,
// or two when that cannot wait.
//
//go:wasmexport save
func save(handle, size int32, now float64) int32 {
	return write(handle, now, engine.Batch{Set: engine.Given, GivenSize: int(size)})
}

// remove removes the keys in the JSON array in the buffer, as save does.
//
//go:wasmexport remove
func remove(handle, length int32, now float64) int32 {
	return write(handle, now, engine.Batch{Remove: argument(length)})
}

// clearSession removes all entries, as save does.
//
//go:wasmexport clear
func clearSession(handle int32, now float64) int32 {
	return write(handle, now, engine.Batch{Clear: true})
}

func write(handle int32, now float64, b engine.Batch) int32 {
	return try(func() (int32, error) {
		s := sessions[handle]
		change, err := s.Save(int64(now), b)
		result := replyChange(change) << 2
		if due, canWait := s.Due(); due && canWait {
			result++
		} else if due {
			result += 2
		}
		return result, err
	})
}

// tidy compacts the session when that is due.
//
//go:wasmexport tidy
func tidy(handle int32, now float64) int32 {
	return try(func() (int32, error) {
		sessions[handle].Tidy(int64(now))
		return 0, nil
	})
}

// load replies with all entries as a JSON object.
//
//go:wasmexport load
func load(handle int32, now float64) int32 {
	return try(func() (int32, error) {
		entries, err := sessions[handle].Load(int64(now))
		return reply(appendEntries(buf[:0], entries)), err
	})
}

// get replies with the value of the key in the buffer, and with nothing when
// it has none.
//
//go:wasmexport get
func get(handle, length int32, now float64) int32 {
	return try(func() (int32, error) {
		value, _, err := sessions[handle].Get(int64(now), argument(length))
		return reply(append(buf[:0], value...)), err
	})
}

// stats replies with a JSON array: entries, items, bytes, corrupt.
//
//go:wasmexport stats
func stats(handle int32, now float64) int32 {
	return try(func() (int32, error) {
		s, err := sessions[handle].Stats(int64(now))
		out := append(buf[:0], '[')
		for i, n := range []int{s.Entries, s.Items, s.Bytes, s.Corrupt} {
			if i > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendInt(out, int64(n), 10)
		}
		return reply(append(out, ']')), err
	})
}

// watch begins, or ends, to keep what refresh compares with.
//
//go:wasmexport watch
func watch(handle, on int32, now float64) int32 {
	return try(func() (int32, error) {
		return 0, sessions[handle].Watch(int64(now), on != 0)
	})
}

// see tells that somebody else changed the item whose key is in the buffer.
//
//go:wasmexport see
func see(handle, length int32) { sessions[handle].See(argument(length)) }

// refresh sees all items there are, and replies with the change since watch or
// the last refresh, if there was any.
//
//go:wasmexport refresh
func refresh(handle int32, now float64) int32 {
	return try(func() (int32, error) {
		change, err := sessions[handle].Refresh(int64(now))
		return replyChange(change), err
	})
}

// What an exchange with the server that keeps a copy of the session takes of the
// engine, where js/src/exchange.js does what engine.Exchange does.

// prepare makes what is unsent such that it can be sent.
//
//go:wasmexport prepare
func prepare(handle int32, now float64) int32 {
	return try(func() (int32, error) { return 0, sessions[handle].Prepare(int64(now)) })
}

// alive replies with the text of an item that has what is shown, and with
// nothing when that is nothing.
//
//go:wasmexport alive
func alive(handle int32, now float64) int32 {
	return try(func() (int32, error) {
		text, err := sessions[handle].Alive(int64(now))
		return reply(append(buf[:0], text...)), err
	})
}

// stamp replies with a stamp for the item in the buffer, which others have made.
//
//go:wasmexport stamp
func stamp(handle, length int32, now float64) int32 {
	return try(func() (int32, error) {
		at, err := sessions[handle].Stamp(int64(now), argument(length))
		return reply(append(buf[:0], at...)), err
	})
}

// divide puts two items in the place of the one whose stamp is in the buffer, and
// returns 1 if it could.
//
//go:wasmexport divide
func divide(handle, length int32, now float64) int32 {
	return try(func() (int32, error) {
		if sessions[handle].Divide(int64(now), argument(length)) {
			return 1, nil
		}
		return 0, nil
	})
}

// compact merges all items.
//
//go:wasmexport compact
func compact(handle int32, now float64) int32 {
	return try(func() (int32, error) {
		sessions[handle].Compact(int64(now))
		return 0, nil
	})
}

// restamp stamps anew what is unsent and stamped later than a time.
//
//go:wasmexport restamp
func restamp(handle int32, latest, now float64) int32 {
	return try(func() (int32, error) { return 0, sessions[handle].Restamp(int64(now), int64(latest)) })
}

// unsent replies with the number of entries and removals that the server may not
// have, and the stamps of the items that say so.
//
//go:wasmexport unsent
func unsent(handle int32, now float64) int32 {
	return try(func() (int32, error) {
		n, stamps, err := sessions[handle].Unsent(int64(now))
		out := strconv.AppendInt(buf[:0], int64(n), 10)
		for _, stamp := range stamps {
			out = append(append(out, ' '), stamp...)
		}
		return reply(out), err
	})
}

// forget drops what is here of the session, and nothing on the server.
//
//go:wasmexport forget
func forget(handle int32) int32 {
	return try(func() (int32, error) { return 0, sessions[handle].Forget() })
}

// argument copies what the caller wrote.
func argument(length int32) string { return string(buf[:length]) }

func reply(text []byte) int32 {
	buf = text
	return int32(len(text))
}

func replyChange(c engine.Change) int32 {
	if c.Empty() {
		return 0
	}
	out := append(buf[:0], `{"set":`...)
	out = appendEntries(out, c.Set)
	out = append(out, `,"removed":[`...)
	for i, key := range c.Removed {
		if i > 0 {
			out = append(out, ',')
		}
		out = engine.AppendString(out, key)
	}
	out = append(out, `],"cleared":`...)
	out = strconv.AppendBool(out, c.Cleared)
	return reply(append(out, '}'))
}

func appendEntries(out []byte, entries []engine.Entry) []byte {
	out = append(out, '{')
	for i, e := range entries {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(engine.AppendString(out, e.Key), ':')
		out = append(out, e.Value...)
	}
	return append(out, '}')
}

// try calls f. An error, or a panic, becomes a failure: the module goes on.
func try(f func() (int32, error)) (result int32) {
	defer func() {
		if p := recover(); p != nil {
			result, failure = failedInternal, "unexpected failure"
			if err, ok := p.(error); ok {
				failure = err.Error()
			}
		}
	}()
	result, err := f()
	switch {
	case err == nil:
		return result
	case engine.Is(err, engine.ErrDisabled):
		return failedDisabled
	case engine.Is(err, engine.ErrQuota):
		return failedQuota
	case engine.Is(err, areas.ErrThrown):
		return failedStorage
	case engine.Is(err, engine.ErrServer):
		return failedServer
	}
	failure = err.Error()
	return failedInternal
}
