package engine

// A Fault is an error of this package. Is recognizes it by its type. To compare two
// errors as interfaces would need reflection, which each visitor of a page would
// download.
type Fault string

// Error returns the Fault as a sentence.
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
