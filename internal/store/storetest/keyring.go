package storetest

import (
	"errors"
	"time"

	"dialtone/internal/keyring"
	"dialtone/internal/secret"
)

func keepingKeys() []contract {
	return []contract{
		{"keys/who has which", keyHolders},
		{"keys/a keyset that does not fit is told so", keysFenced},
		{"keys/a promoted key shuts out who lacks it", keysFenceMoves},
		{"keys/marks, and one rotation at a time", keyMarks},
	}
}

// holders gives all but the ages, which must be small.
func (e env) holders() []keyring.Holder {
	e.Helper()
	all, err := e.KeyHolders(e.Context())
	e.ok(err)
	for i := range all {
		if all[i].Age < 0 || all[i].Age > long {
			e.Errorf("%s was heard of %v ago", all[i].Process, all[i].Age)
		}
		all[i].Age = 0
	}
	return all
}

func keyHolders(e env) {
	one := keyring.Holder{Process: "api-1", Primary: 1 << 31, Keys: []uint32{7, 1 << 31}, Sealing: []uint32{1 << 31, 7}, Needed: []uint32{7}, Reloads: true}
	two := keyring.Holder{Process: "worker-1", Primary: 7, Keys: []uint32{7}, Sealing: []uint32{7}}
	for _, h := range []keyring.Holder{two, one} {
		e.ok(e.ReportKeys(e.Context(), h))
	}
	e.same("holders", e.holders(), []keyring.Holder{one, two})
	two.Primary, two.Keys, two.Sealing = 9, []uint32{7, 9}, []uint32{9}
	e.ok(e.ReportKeys(e.Context(), two))
	e.ok(e.WithdrawKeys(e.Context(), "api-1"))
	e.ok(e.WithdrawKeys(e.Context(), "nobody"))
	e.same("after a change and a withdrawal", e.holders(), []keyring.Holder{two})

	// Silence is told, and forgotten after an hour.
	e.ok(e.Outdate(e.Context(), 50*time.Minute))
	silent, err := e.KeyHolders(e.Context())
	e.ok(err)
	if len(silent) != 1 || silent[0].Age < 50*time.Minute || silent[0].Age > 52*time.Minute {
		e.Errorf("KeyHolders() = %+v, want one that was heard of 50 minutes ago", silent)
	}
	e.ok(e.Outdate(e.Context(), 11*time.Minute))
	if left := e.holders(); len(left) > 0 {
		e.Errorf("after an hour: %+v", left)
	}
}

// rotated is the store's keyset with one more key, before and after its
// promotion, and with the new key alone.
type rotated struct {
	first, second          uint32
	added, promoted, alone secret.Text
}

func (e env) rotated() rotated {
	e.Helper()
	keys, box := e.Keys()
	var r rotated
	var err error
	r.first, _ = box.KeyIDs()
	r.added, err = secret.AddKey(keys)
	e.ok(err)
	_, all := e.box(r.added).KeyIDs()
	r.second = all[len(all)-1]
	r.promoted, err = secret.Promote(r.added, r.second)
	e.ok(err)
	r.alone, err = secret.RemoveKey(r.promoted, r.first)
	e.ok(err)
	return r
}

func (e env) box(keys secret.Text) *secret.Box {
	e.Helper()
	box, err := secret.OpenBox(keys)
	e.ok(err)
	return box
}

// fits asks whether a keyset may be used; want is the error, nil for none.
func (e env) fits(what string, keys secret.Text, want error) {
	e.Helper()
	if err := e.CheckKeyset(e.Context(), e.box(keys)); !errors.Is(err, want) {
		e.Errorf("%s: %v, want %v", what, err, want)
	}
}

func keysFenced(e env) {
	foreign, err := secret.NewKeyset()
	e.ok(err)
	r := e.rotated()
	e.ok(e.CheckKeys(e.Context()))
	e.fits("another keyset", foreign, secret.ErrOpen)
	e.fits("the new key alone", r.alone, secret.ErrOpen)
	e.fits("both", r.added, nil)
	e.fits("both, promoted", r.promoted, nil)
	e.ok(e.MarkKey(e.Context(), r.first, keyring.Retired))
	e.fits("a retired primary key", r.added, keyring.ErrRetired)
	e.fits("a retired key that only opens", r.promoted, nil)
	if err := e.CheckKeys(e.Context()); !keyring.Refused(err) {
		e.Errorf("CheckKeys() = %v under a retired key", err)
	}
	e.ok(e.MarkKey(e.Context(), r.first, ""))
	e.ok(e.CheckKeys(e.Context()))
}

func keysFenceMoves(e env) {
	keys, box := e.Keys()
	r := e.rotated()
	e.ok(e.CheckKeys(e.Context()))
	box.Swap(e.box(r.promoted))
	// Who asks does not move it: a process may be behind or ahead.
	e.ok(e.CheckKeys(e.Context()))
	e.fits("the old keyset, before", keys, nil)
	e.ok(e.SealFence(e.Context()))
	e.fits("the old keyset", keys, secret.ErrOpen)
	e.fits("both", r.added, nil)
	box.Swap(e.box(r.added))
	e.ok(e.SealFence(e.Context()))
	e.fits("the old keyset, when it was moved back", keys, nil)
}

func keyMarks(e env) {
	e.ok(e.MarkKey(e.Context(), 1<<31+1, keyring.Rotating))
	e.ok(e.MarkKey(e.Context(), 2, keyring.Retired))
	e.ok(e.MarkKey(e.Context(), 3, keyring.Retired))
	if err := e.MarkKey(e.Context(), 4, keyring.Rotating); err == nil {
		e.Error("two rotations at a time")
	}
	e.ok(e.MarkKey(e.Context(), 3, ""))
	got, err := e.KeyMarks(e.Context())
	e.ok(err)
	e.same("marks", got, map[uint32]keyring.Mark{1<<31 + 1: keyring.Rotating, 2: keyring.Retired})
	e.ok(e.MarkKey(e.Context(), 1<<31+1, ""))
	e.ok(e.MarkKey(e.Context(), 4, keyring.Rotating))
}
