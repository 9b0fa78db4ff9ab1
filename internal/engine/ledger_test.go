package engine

import "testing"

// A turning is a storage in which the session gets another owner while its ledger is
// read: what is returned is what it was.
type turning struct {
	Memory
	turn func()
}

func (s *turning) GetItem(key string) (string, bool, error) {
	text, ok, err := s.Memory.GetItem(key)
	if key[0] == '/' && s.turn != nil {
		turn := s.turn
		s.turn = nil
		turn()
	}
	return text, ok, err
}

func TestTheOwnerChangesWhileTheLedgerIsRead(t *testing.T) {
	storage := new(turning)
	belongsTo := func(owner string) {
		t.Helper()
		other := New(storage, "cart", new(Clock), 0)
		if _, err := other.begin(owner, 0); err != nil {
			t.Fatal(err)
		}
	}
	belongsTo("000000000000ada0")
	s := New(storage, "cart", new(Clock), 0)
	if err := s.Listen(true); err != nil {
		t.Fatal(err)
	}
	storage.turn = func() {
		belongsTo("000000000000be00")
		s.See(s.ledgerKey())
	}
	s.See(s.ledgerKey())
	for range 2 { // the first may be before it
		if _, err := s.Load(start); err != nil {
			t.Fatal(err)
		}
	}
	if s.owner != "000000000000be00" {
		t.Errorf("the owner is still %s", s.owner)
	}
}
