package engine

// What the tests in package engine_test need of this one's.

// RunSchedules runs schedules of a simulation, or the one that a flag names.
var RunSchedules = runSchedules

// Model is a server as simple as can be.
type Model = modelServer

// Seed has all ids that the session makes follow from random numbers.
func (s *Session) Seed(random func() uint64) {
	s.writer = writerOf(random())
	s.newWriter = func() string { return writerOf(random()) }
}

// SetPartSize sets the size from which what is sent is sent in parts, and
// returns what sets it back.
func SetPartSize(size int) (restore func()) {
	had := partSize
	partSize = size
	return func() { partSize = had }
}

// Open calls New and Look.
func Open(storage Storage, name string, clock *Clock, maxAge int64) (*Session, error) {
	s := New(storage, name, clock, maxAge)
	return s, s.Look()
}

// Owner returns the tag of the owner whose session is shown here. It is empty if nobody
// owns the session yet.
func (s *Session) Owner() (string, error) {
	l, err := s.attend()
	return l.owner, err
}

// Joined notes that the owner of that tag is from now on the heir of this storage's
// owner. What is alive here becomes his. In a page js/src/exchange.js does so.
func (s *Session) Joined(owner string) error {
	if !IsTag(owner) {
		return ErrServer
	}
	l, err := s.attend()
	if err != nil || l.owner == "" || l.owner == owner {
		return err
	}
	return s.storage.SetItem(heirKey(l.owner), owner)
}
