package areas

import "github.com/session-interop/session-writer/internal/engine"

// The codes that calls between the module and the page return, in either
// direction, in the place of a result. js/src/codes.js has the same.
const (
	CodeDisabled = -1
	CodeQuota    = -2
	CodeThrown   = -3 // the storage threw what no storage throws
	CodeAbsent   = -4 // there is no such item
	CodeInternal = -5 // a sentence says what
	CodeServer   = -6 // what a server sent is no item
)

// ErrThrown means that a page's own wrapper of its storage threw something
// that no storage throws.
var ErrThrown = engine.Fault("the storage threw")

// failures are the errors that have a code of their own.
var failures = [...]struct {
	code int32
	err  engine.Fault
}{
	{CodeDisabled, engine.ErrDisabled},
	{CodeQuota, engine.ErrQuota},
	{CodeThrown, ErrThrown},
	{CodeServer, engine.ErrServer},
}

// Code returns the code of an error.
func Code(err error) int32 {
	for _, f := range failures {
		if engine.Is(err, f.err) {
			return f.code
		}
	}
	return CodeInternal
}
