package engine

// A session can have a mirror: a second storage that has the same items, and survives what
// the first may not. In a page it is IndexedDB, which is written to disk at once, while a
// kill takes the last minute of localStorage: js/src/mirror.js. Items never change, and
// merging one again says nothing new, so it does no harm if the mirror is behind the storage
// or ahead of it.
//
// What is in the mirror alone was lost by the storage, or was removed there. It may come
// back, but not once what removed its entries is forgotten. That is what a watermark tells,
// which is in the storage, and in the mirror like an item:
//
//	/cart/mirror    <milliseconds> <milliseconds>
//
// Nothing older than the first is put back. A storage that has gone back to what it was has
// the watermark of that time, when what removed an entry was still there.
//
// The mirror was begun at the second time. A storage that has no watermark, though the mirror has
// one, has lost it, or was cleared by somebody. It can only have lost what was begun lately.

// watermarkKey returns the key of the watermark. No session has an item of that key.
func (s *Session) watermarkKey() string { return s.ledgerKey() + "/mirror" }

// forgetTo notes that nothing older than a time may come back from a mirror, if there is
// one, so that what removed it can be forgotten. The storage refuses that before what it has
// lost is back.
func (s *Session) forgetTo(time int64) error {
	key := s.watermarkKey()
	text, _, err := s.storage.GetItem(key)
	at := string(makeStamp(max(0, time), 0, s.writer)[:millisDigits])
	if err != nil || len(text) < millisDigits || text > at {
		return err
	}
	return s.storage.SetItem(key, at+text[millisDigits:])
}
