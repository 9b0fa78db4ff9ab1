package engine

// A Fault is an error of this package. It is told from others by its type: to
// compare two errors as interfaces would cost each visitor of a page what comes
// with reflection.
type Fault string

// Error returns the sentence that the Fault is.
func (f Fault) Error() string { return string(f) }

// Is reports whether an error is the Fault or wraps it, as errors.Is does.
func Is(err error, f Fault) bool {
	for err != nil {
		if g, ok := err.(Fault); ok {
			return f == g
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			err = u.Unwrap()
		case interface{ Unwrap() []error }:
			for _, err := range u.Unwrap() {
				if Is(err, f) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}
