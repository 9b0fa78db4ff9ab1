package client

import "time"

// Hurry makes short what tests would wait for, but for what a WebSocket is told, and returns
// what sets it back.
func Hurry() (restore func()) {
	had := pace
	pace.again, pace.longest, pace.full = time.Millisecond, 50*time.Millisecond, 20*time.Millisecond
	pace.rejoin, pace.rejoinFirst, pace.rejoinLongest = time.Millisecond, 20*time.Millisecond, 50*time.Millisecond
	pace.told = time.Millisecond
	return func() { pace = had }
}

// Pings sets how often a WebSocket is sent a ping, and how long the answer may take.
func Pings(every, answer time.Duration) { pace.ping, pace.pong = every, answer }

// Renewal sets for how long a WebSocket is used, and has any time count as long.
func Renewal(after time.Duration) { pace.renewal, pace.steady = after, 0 }

// Rejoin sets how long to wait at least after the end of a WebSocket that is not renewed.
func Rejoin(after time.Duration) {
	pace.rejoin, pace.rejoinFirst, pace.rejoinLongest = after, after+1, after+1
}

// Fresh sets how old the address of a WebSocket may be.
func Fresh(age time.Duration) { pace.fresh = age }

// Rest sets how long a session rests after its first failure.
func Rest(after time.Duration) { pace.again, pace.longest = after, after }

// Told sets how far apart the exchanges are that the server leads to.
func Told(apart time.Duration) { pace.told = apart }
