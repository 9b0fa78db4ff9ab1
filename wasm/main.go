//go:build js

// Command wasm is the module that the npm package session-writer loads. Its exports are
// the engine's calls. js/src/engine.js is their only user, and the two are built
// together.
//
// Text goes both ways through one buffer. The caller asks for room with buffer, writes
// its argument there as UTF-8, and passes the number of bytes. Afterwards the reply is in
// the buffer, and the call has returned its number of bytes. The entries of a save never
// come here: the caller gives them to the storage. A result below 0 is a failure's code.
//
// Exports about a session take its handle and the time, in milliseconds since 1970,
// which the caller gets at a lower cost. Their other arguments come after these.
package main

//lint:file-ignore U1000 staticcheck does not know that exports are used

import (
	"strconv"
	"unsafe"

	"github.com/session-interop/session-writer/internal/engine"
)

// protocol changes when the exports do, so that JavaScript refuses a module whose exports
// it does not know.
const protocol = 6

var (
	buf     []byte
	failure string

	// sessions has the open sessions by their handles, which the page gives out.
	sessions = make(map[int32]*engine.Session)

	// clocks has a clock for each name in a storage area. Sessions of one name share
	// it, so that of two saves within a millisecond the later wins. Others do not,
	// because what a session has seen may be from a wrong clock.
	clocks = make(map[string]*engine.Clock)
)

func main() { select {} } // the exports are called while main waits

//go:wasmexport protocol
func protocolVersion() int32 { return protocol }

// buffer returns the buffer, with room for size bytes.
//
//go:wasmexport buffer
func buffer(size int32) unsafe.Pointer {
	if int(size) > cap(buf) {
		buf = make([]byte, size)
	}
	return unsafe.Pointer(unsafe.SliceData(buf[:cap(buf)]))
}

// message replies with the sentence of the last failure.
//
//go:wasmexport message
func message() int32 { return reply([]byte(failure)) }

// open opens the session whose name is in the buffer. The caller has opened the storage
// of that handle, in the area of that place.
//
//go:wasmexport open
func open(handle, place, length int32, maxAge float64) (result int32) {
	defer recovered(&result)
	return checked(0, openSession(handle, place, argument(length), int64(maxAge)))
}

func openSession(handle, place int32, name string, maxAge int64) error {
	at := strconv.Itoa(int(place)) + "/" + name
	clock := clocks[at]
	if clock == nil {
		clock = new(engine.Clock)
		clocks[at] = clock
	}
	s := engine.New(area(handle), name, clock, maxAge)
	if err := s.Listen(true); err != nil {
		return err
	}
	sessions[handle] = s
	return nil
}

//go:wasmexport close
func closeSession(handle int32) {
	delete(sessions, handle)
}

// save saves the entries that the storage was given, a JSON object of about size bytes.
// While the session is watched, the keys of the entries are in the buffer as a JSON
// array, and save replies with the change. It replies with nothing if the change only
// sets these entries. It returns the number of bytes times four. It adds one if tidy has
// something to do, or two if that cannot wait.
//
//go:wasmexport save
func save(handle int32, now float64, length int32, size float64) int32 {
	return call(handle, now, length, size, func(s *engine.Session, in arguments) (int32, error) {
		return write(s, in.now, engine.Batch{Set: engine.Given, GivenSize: int(in.number), GivenKeys: in.text})
	})
}

// remove removes the keys in the JSON array in the buffer, as save does.
//
//go:wasmexport remove
func remove(handle int32, now float64, length int32) int32 {
	return call(handle, now, length, 0, func(s *engine.Session, in arguments) (int32, error) {
		return write(s, in.now, engine.Batch{Remove: in.text})
	})
}

// clearSession removes all entries, as save does.
//
//go:wasmexport clear
func clearSession(handle int32, now float64) int32 {
	return call(handle, now, 0, 0, func(s *engine.Session, in arguments) (int32, error) {
		return write(s, in.now, engine.Batch{Clear: true})
	})
}

func write(s *engine.Session, now int64, b engine.Batch) (int32, error) {
	change, err := s.Save(now, b)
	result := replyChange(change) << 2
	if due, canWait := s.Due(); due && canWait {
		result++
	} else if due {
		result += 2
	}
	return result, err
}

// tidy compacts the session if that is due.
//
//go:wasmexport tidy
func tidy(handle int32, now float64) int32 {
	return call(handle, now, 0, 0, func(s *engine.Session, in arguments) (int32, error) {
		s.Tidy(in.now)
		return 0, nil
	})
}

// load replies with all entries as a JSON object. If that is the same as the last time
// and always is 0, it replies with nothing.
//
//go:wasmexport load
func load(handle int32, now float64, _ int32, always float64) int32 {
	return call(handle, now, 0, always, func(s *engine.Session, in arguments) (int32, error) {
		entries, anew, err := s.LoadAnew(in.now, in.number != 0)
		if !anew {
			return 0, nil
		}
		return reply(engine.AppendEntries(buf[:0], entries)), err
	})
}

// get replies with the value of the key in the buffer, or with nothing if it has none.
//
//go:wasmexport get
func get(handle int32, now float64, length int32) int32 {
	return call(handle, now, length, 0, func(s *engine.Session, in arguments) (int32, error) {
		value, _, err := s.Get(in.now, in.text)
		return reply(append(buf[:0], value...)), err
	})
}

// stats replies with a JSON array: entries, items, bytes, corrupt.
//
//go:wasmexport stats
func stats(handle int32, now float64) int32 {
	return call(handle, now, 0, 0, func(s *engine.Session, in arguments) (int32, error) {
		n, err := s.Stats(in.now)
		out := append(buf[:0], '[')
		for i, n := range []int{n.Entries, n.Items, n.Bytes, n.Corrupt} {
			if i > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendInt(out, int64(n), 10)
		}
		return reply(append(out, ']')), err
	})
}

// watch begins or ends to keep the state that refresh compares with. on is 1 or 0. It
// replies with the entries of that state.
//
//go:wasmexport watch
func watch(handle int32, now float64, _ int32, on float64) int32 {
	return call(handle, now, 0, on, func(s *engine.Session, in arguments) (int32, error) {
		entries, err := s.Watch(in.now, in.number != 0)
		return reply(engine.AppendEntries(buf[:0], entries)), err
	})
}

// see notes that somebody else changed the item whose key is in the buffer. It returns 1
// if the item is one of the session's.
//
//go:wasmexport see
func see(handle int32, now float64, length int32) int32 {
	return call(handle, now, length, 0, func(s *engine.Session, in arguments) (int32, error) {
		return truth(s.See(in.text)), nil
	})
}

// refresh sees all items. While the session is watched, it replies with the change since
// watch or the last refresh, if there was one.
//
//go:wasmexport refresh
func refresh(handle int32, now float64) int32 {
	return call(handle, now, 0, 0, func(s *engine.Session, in arguments) (int32, error) {
		change, err := s.Refresh(in.now)
		return replyChange(change), err
	})
}

// The exports from here on are for js/src/exchange.js, which does what engine.Exchange
// does.

// prepare gives the owner what is nobody's yet, so that it can be sent.
//
//go:wasmexport prepare
func prepare(handle int32, now float64) int32 {
	return call(handle, now, 0, 0, func(s *engine.Session, in arguments) (int32, error) {
		return 0, s.Prepare(in.now)
	})
}

// alive replies with the text of an item that holds all entries, or with nothing if there
// are none.
//
//go:wasmexport alive
func alive(handle int32, now float64) int32 {
	return call(handle, now, 0, 0, func(s *engine.Session, in arguments) (int32, error) {
		text, err := s.Alive(in.now)
		return reply(append(buf[:0], text...)), err
	})
}

// stamp replies with a stamp under which the item of others' in the buffer can be stored.
//
//go:wasmexport stamp
func stamp(handle int32, now float64, length int32) int32 {
	return call(handle, now, length, 0, func(s *engine.Session, in arguments) (int32, error) {
		at, err := s.Stamp(in.now, in.text)
		return reply(append(buf[:0], at...)), err
	})
}

// divide replaces the item whose stamp is in the buffer by two. It returns 1 if it could.
//
//go:wasmexport divide
func divide(handle int32, now float64, length int32) int32 {
	return call(handle, now, length, 0, func(s *engine.Session, in arguments) (int32, error) {
		return truth(s.Divide(in.now, in.text)), nil
	})
}

// compact merges all items.
//
//go:wasmexport compact
func compact(handle int32, now float64) int32 {
	return call(handle, now, 0, 0, func(s *engine.Session, in arguments) (int32, error) {
		s.Compact(in.now)
		return 0, nil
	})
}

// restamp gives new stamps to what is unsent and stamped later than latest.
//
//go:wasmexport restamp
func restamp(handle int32, now float64, _ int32, latest float64) int32 {
	return call(handle, now, 0, latest, func(s *engine.Session, in arguments) (int32, error) {
		return 0, s.Restamp(in.now, int64(in.number))
	})
}

// unsent replies with the number of entries and removals that the server may not have,
// and the stamps of the items that hold them.
//
//go:wasmexport unsent
func unsent(handle int32, now float64) int32 {
	return call(handle, now, 0, 0, func(s *engine.Session, in arguments) (int32, error) {
		n, stamps, err := s.Unsent()
		out := strconv.AppendInt(buf[:0], int64(n), 10)
		for _, stamp := range stamps {
			out = append(append(out, ' '), stamp...)
		}
		return reply(out), err
	})
}

// forget removes what is stored here of the session, and nothing on the server.
//
//go:wasmexport forget
func forget(handle int32, now float64) int32 {
	return call(handle, now, 0, 0, func(s *engine.Session, in arguments) (int32, error) {
		return 0, s.Forget(in.now)
	})
}

func truth(is bool) int32 {
	if is {
		return 1
	}
	return 0
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
	out = engine.AppendEntries(out, c.Set)
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

// arguments are what a call about a session is given.
type arguments struct {
	now    int64 // in milliseconds since 1970
	text   string
	number float64
}

// call calls f with a session. f gets all that it needs as arguments, because closures
// would cost a page a fifth more.
func call(handle int32, now float64, length int32, number float64, f func(*engine.Session, arguments) (int32, error)) (result int32) {
	defer recovered(&result)
	result, err := f(sessions[handle], arguments{int64(now), argument(length), number})
	return checked(result, err)
}

// checked returns a result, or the code of an error, and keeps the error's sentence for
// message.
func checked(result int32, err error) int32 {
	if err != nil {
		failure = err.Error()
		return codeOf(err)
	}
	return result
}

// recovered turns a panic into a failure, so that the module goes on.
func recovered(result *int32) {
	if p := recover(); p != nil {
		*result, failure = codeInternal, "unexpected failure"
		if err, ok := p.(error); ok {
			failure = err.Error()
		}
	}
}

// The codes that calls between the module and the page return, in either direction, in
// the place of a result. js/src/codes.js has the same.
const (
	codeDisabled = -1
	codeQuota    = -2
	codeThrown   = -3 // the storage threw what no storage throws
	codeAbsent   = -4 // there is no such item
	codeInternal = -5 // a sentence says what
	codeServer   = -6 // what a server sent makes no sense
)

// errThrown means that a page's own wrapper of its storage threw something that no
// storage throws.
var errThrown = engine.Fault("the storage threw")

// failures are the errors that have a code of their own.
var failures = [...]struct {
	code int32
	err  engine.Fault
}{
	{codeDisabled, engine.ErrDisabled},
	{codeQuota, engine.ErrQuota},
	{codeThrown, errThrown},
	{codeServer, engine.ErrServer},
}

func codeOf(err error) int32 {
	for _, f := range failures {
		if engine.Is(err, f.err) {
			return f.code
		}
	}
	return codeInternal
}

// errorOf returns the error that a code stands for, and nil when it is none. What was
// thrown is kept outside: see js/src/engine.js.
func errorOf(code int32) error {
	if code >= 0 {
		return nil
	}
	for _, f := range failures {
		if f.code == code {
			return f.err
		}
	}
	return errThrown
}

// The imports are the page's storage. StorageAreas in js/src/engine.js implements them.
// Package localstorage does the same through syscall/js, as any Go program can, but at
// several times the cost. An area is told by the handle of its session. A result below 0
// is a code. A text comes in two steps, which nothing may come between: the number of its
// bytes is the result of one call, and take then writes them where there is room for so
// many.

//go:wasmimport session getItem
func getItem(area int32, key string) (length int32)

// same returns 1 for an item that has the text that getItem gave the session last.
//
//go:wasmimport session same
func same(area int32, key string) int32

//go:wasmimport session setItem
func setItem(area int32, key, text string) int32

//go:wasmimport session removeItem
func removeItem(area int32, key string) int32

// keys lists keys and returns their number. listed gives them one by one.
//
//go:wasmimport session keys
func keys(area int32, prefix string) (number int32)

//go:wasmimport session listed
func listed(i int32) (length int32)

//go:wasmimport session take
func take(at unsafe.Pointer)

// An area is the storage area of a session, whose handle it is. The page puts what it
// saves in the place of engine.Given, so that it never comes into the module's memory.
type area int32

var _ engine.Rereader = area(0)

// GetItem implements engine.Storage.
func (a area) GetItem(key string) (text string, ok bool, err error) {
	length := getItem(int32(a), key)
	if length == codeAbsent {
		return "", false, nil
	}
	if length < 0 {
		return "", false, errorOf(length)
	}
	return taken(length), true, nil
}

// Same implements engine.Rereader.
func (a area) Same(key string) bool { return same(int32(a), key) != 0 }

// SetItem implements engine.Storage.
func (a area) SetItem(key, text string) error { return errorOf(setItem(int32(a), key, text)) }

// RemoveItem implements engine.Storage.
func (a area) RemoveItem(key string) error { return errorOf(removeItem(int32(a), key)) }

// Keys implements engine.Storage.
func (a area) Keys(prefix string) ([]string, error) {
	number := keys(int32(a), prefix)
	if number < 0 {
		return nil, errorOf(number)
	}
	list := make([]string, number)
	for i := range list {
		list[i] = taken(listed(int32(i)))
	}
	return list, nil
}

func taken(length int32) string {
	if length == 0 {
		return ""
	}
	text := make([]byte, length)
	take(unsafe.Pointer(unsafe.SliceData(text)))
	return unsafe.String(unsafe.SliceData(text), length)
}
