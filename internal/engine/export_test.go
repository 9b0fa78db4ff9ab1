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
