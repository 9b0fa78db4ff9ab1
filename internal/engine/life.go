package engine

// A session with a maximum age is over when no device has saved for so long. Only the
// server hears of all devices, so only it can tell for an owner's session. A Session
// knows spans in which the session was alive:
//
//   - All items that the server has share one span, which is the last that the server
//     knew of. The ledger says until when it lasted.
//   - An item that the server does not have has a span of its own, from its since to its
//     newest. Whoever wrote it knew that the session was alive all that time, or had
//     just begun it anew.
//
// Spans belong to one life of the session if the gap between them is not longer than the
// maximum age. Only the last life is shown, unless it is over, too. Items of earlier
// lives stay here, unseen, until the server has them. The server may know that somebody
// kept the session alive in between. Then it sends everything again.

// hide finds the life of each item, and limits the state of the last snapshot to the
// last life.
func (s *Session) hide() error {
	if s.maxAge == 0 || s.owner == "" {
		return nil
	}
	l, err := s.ledger()
	if err != nil {
		return err
	}
	snap := &s.last
	all := append(snap.items, snap.guests...)
	for _, it := range all {
		it.life, it.from = -1, it.says.since
		it.to = max(it.from, it.says.newest.Millis())
		if it.sent = l.lists(it.stamp()); it.sent {
			it.to = l.active
		}
	}
	s.lived = 0
	life := 0
	for left := len(all); left > 0; life++ {
		since := int64(0) // the end of the last life that is left, and then its beginning
		for _, it := range all {
			if it.life < 0 {
				since = max(since, it.to)
			}
		}
		s.lived = max(s.lived, since)
		for had := 0; had != left; {
			had = left
			for _, it := range all {
				if it.life < 0 && it.to >= since-s.maxAge {
					it.life = life
					since = min(since, it.from)
					left--
				}
			}
		}
	}
	if snap.partial = life > 1; snap.partial {
		snap.state = state{}
		for _, it := range snap.items {
			if it.life == 0 {
				snap.state.add(it.says)
			}
		}
		snap.admit()
	}
	return nil
}

// aliveSince returns since when items of the last life show the session alive. The time
// before a clearing does not matter. Items that the server has count from the last save
// that it told of, because it knows the time before.
func aliveSince(cleared Stamp, items []*item) (since int64) {
	for _, it := range items {
		from := it.from
		if it.sent {
			from = it.to
		}
		if cleared != "" {
			from = max(from, cleared.Millis())
		}
		if it.says.newest >= cleared && (since == 0 || from < since) {
			since = from
		}
	}
	return since
}
