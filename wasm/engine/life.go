package engine

// A session with a maximum age is over when nobody has saved for so long, on no
// device. Of an owner's session only the server can tell, which hears of all. A
// Session knows of spans in which it was alive:
//
//   - What the server has, and gave, is of one: the last, as far as the server
//     knew. The ledger says up to when.
//   - An item that the server does not have is one from its since to its newest:
//     whoever wrote it knew the session to be alive all that time, or had just
//     begun it anew.
//
// Two of them are one when what is between them is not longer than the maximum
// age. What is shown is of the last, unless that is over, too. What is of those
// before stays here, unseen, until the server has it. For it may know that
// somebody kept the session alive in between, and then gives all of it anew.

// hide finds out what is not shown, as it was saved before the session was over.
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
	first := l.active // when what the server has began
	s.lived = 0
	for _, it := range all {
		it.alive = it.says.since
		last := it.says.newest.Millis()
		if it.sent = l.lists(it.stamp()); it.sent {
			first = min(first, it.alive)
			it.alive, last = l.active, l.active
		}
		s.lived = max(s.lived, last)
	}
	since := s.lived
	for more := true; more; {
		more = false
		for _, it := range all {
			from, to := it.alive, it.says.newest.Millis()
			if it.sent {
				from, to = first, l.active
			}
			if it.hidden = from < since; it.hidden && to >= since-s.maxAge {
				since, more = from, true
			}
		}
	}
	for _, it := range all {
		snap.partial = snap.partial || it.hidden
	}
	if snap.partial {
		snap.state = state{}
		for _, it := range snap.items {
			if !it.hidden {
				snap.state.add(it.says)
			}
		}
		snap.admit()
	}
	return nil
}

// aliveSince returns from when on items show a session to have been alive that was
// cleared then: what was before does not matter. Of what they have of the server's
// it does not, either: that is known there.
func aliveSince(cleared Stamp, items []*item) (since int64) {
	for _, it := range items {
		from := it.alive
		if cleared != "" {
			from = max(from, cleared.Millis())
		}
		if !it.hidden && it.says.newest >= cleared && (since == 0 || from < since) {
			since = from
		}
	}
	return since
}
