//go:build !js

package sqlstore

import (
	"errors"
	"testing"
)

// Wherever it ends, nothing is half given, and the next call goes on. What is combined is
// combined once.
func TestAdoptEndsAnywhere(t *testing.T) {
	for _, killed := range []bool{false, true} {
		for statement := 0; ; statement++ {
			path := file(t)
			d := create(t, open(t, path), Limits{})
			prepareAdoption(t, d)
			had := entriesIn(t, d, owner, "cart")
			ctx, ending, called := openEnding(t, path, Limits{}, statement, killed)
			err := ending.Adopt(ctx, visitor, owner, sum)
			if !*called {
				if err != nil || statement < 8 {
					t.Errorf("after %d statements: %v", statement, err)
				}
				break
			}
			if got := entriesIn(t, d, owner, "cart"); got != had && got != adopted {
				t.Errorf("after statement %d (%t) the user has %s", statement, killed, got)
			}
			// By a page or by the next login.
			if statement%2 == 0 {
				if err := d.Inherit(t.Context(), Tag(visitor), owner, "cart", sum); err != nil {
					t.Errorf("after statement %d (%t): %v", statement, killed, err)
				}
			}
			if err := d.Adopt(t.Context(), visitor, owner, sum); err != nil {
				t.Fatalf("after statement %d (%t): %v", statement, killed, err)
			}
			if n := count(t, d, "owners WHERE heir <> ''"); n != 1 {
				t.Errorf("after statement %d (%t) there are %d heirs", statement, killed, n)
			}
			if got := entriesIn(t, d, owner, "cart"); got != adopted {
				t.Errorf("after statement %d (%t) and once more, the user has %s, want %s", statement, killed, got, adopted)
			}
		}
	}
}

// What is saved meanwhile is given, too, or refused.
func TestSavesDuringAnAdoption(t *testing.T) {
	for statement := 0; ; statement++ {
		path := file(t)
		d := create(t, open(t, path), Limits{})
		prepareAdoption(t, d)
		late, n, other := "", "5", ""
		hooked, called := openHooked(t, path, Limits{}, statement, false, func(*DB) {
			_, err := exchange(t.Context(), d, visitor, "cart", "", "["+item(past+9, `"set":{"late":1}`)+"]")
			switch {
			case err == nil:
				late = `"late":1,`
			case !errors.Is(err, ErrBusy):
				t.Errorf("the visitor, after statement %d: %v", statement, err)
			}
			n = "30" // as it is saved later
			if entriesIn(t, d, owner, "cart") != adopted {
				n = "32"
			}
			mustSave(t, d, owner, map[string]any{"n": 30, "zother": 1})
			other = `,"zother":1`
		})
		if err := hooked.Adopt(t.Context(), visitor, owner, sum); err != nil {
			t.Fatal(err)
		}
		if !*called {
			if statement < 5 {
				t.Errorf("there were %d statements", statement)
			}
			return
		}
		want := `{"both":"visitor","kept":1,` + late + `"n":` + n + `,"user":1,"visitor":[1]` + other + `}`
		if got := entriesIn(t, d, owner, "cart"); got != want {
			t.Errorf("after statement %d the user has %s, want %s", statement, got, want)
		}
		if got := entriesIn(t, d, visitor, "cart"); got != `{}` {
			t.Errorf("after statement %d the visitor has %s", statement, got)
		}
	}
}

// Another process adopts the same visitor, or another one, between any two statements.
func TestTwoProcessesAdoptAtOnce(t *testing.T) {
	const another = "another visitor"
	for visitorOfOther, want := range map[string]string{
		visitor: adopted,
		another: `{"both":"visitor","kept":1,"n":15,"user":1,"visitor":[1]}`,
	} {
		for statement := 0; ; statement++ {
			path := file(t)
			d := create(t, open(t, path), Limits{})
			prepareAdoption(t, d)
			if err := addVisitor(t, d, another); err != nil {
				t.Fatal(err)
			}
			mustSave(t, d, another, map[string]any{"n": 10})
			hooked, called := openHooked(t, path, Limits{}, statement, false, func(*DB) {
				if err := d.Adopt(t.Context(), visitorOfOther, owner, sum); err != nil {
					t.Errorf("the other, after statement %d: %v", statement, err)
				}
			})
			if err := hooked.Adopt(t.Context(), visitor, owner, sum); err != nil {
				t.Errorf("after statement %d: %v", statement, err)
			}
			if !*called {
				if statement < 5 {
					t.Errorf("there were %d statements", statement)
				}
				break
			}
			if got := entriesIn(t, d, owner, "cart"); got != want {
				t.Errorf("%s, after statement %d: the user has %s, want %s", visitorOfOther, statement, got, want)
			}
		}
	}
}
