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
// age: one life of the session. What is shown is of the last, unless that is over,
// too. What is of those before stays here, unseen, until the server has it. For it
// may know that somebody kept the session alive in between, and then gives all of
// it anew.

// hide finds out of which life each item is, and has the last snapshot say what
// those of the last one say.
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
		since := int64(0) // when the last of what is left ended, and then when it began
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

// aliveSince returns from when on items of the last life show a session to have
// been alive that was cleared then: what was before does not matter. What the
// server has counts from the last save that it told of: it knows the rest.
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
