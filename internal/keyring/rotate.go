package keyring

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Rotate is how a whole rotation is made.
type Rotate struct {
	// Remove takes the older keys out as well.
	Remove bool
	// Beside seals again what is not in the store; nil: there is no such thing.
	Beside func() error
}

// Rotate makes a whole rotation: it adds a key, waits until every process has
// it, promotes it, waits until every process seals with it, and reseals what the
// store holds; with Remove it takes the older keys out as well, and waits until
// every process has dropped them. Interrupted, it goes on where it was.
func (r *Rotation) Rotate(ctx context.Context, how Rotate) error {
	id, err := r.begin(ctx)
	if err != nil {
		return err
	}
	if primary, _ := r.box.KeyIDs(); primary != id {
		err = r.await(ctx, fmt.Sprintf("every process has key %d", id), func(holders []Holder) []string { return lacking(holders, id) })
		if err != nil {
			return err
		}
		if err := r.Promote(ctx, id); err != nil {
			return err
		}
		r.sayf("key %d is the primary key", id)
	}
	err = r.await(ctx, fmt.Sprintf("every process seals with key %d alone", id), func(holders []Holder) []string {
		return append(lacking(holders, id), sealingOther(holders, id)...)
	})
	if err != nil {
		return err
	}
	did, err := r.Reseal(ctx)
	if err != nil {
		return err
	}
	r.sayf("sealed again with key %d: %s", id, Counts(did.Resealed))
	if how.Beside != nil {
		if err := how.Beside(); err != nil {
			return err
		}
	}
	if how.Remove {
		if err := r.removeOthers(ctx, id); err != nil {
			return err
		}
	}
	if err := r.store.MarkKey(ctx, id, ""); err != nil {
		return err
	}
	r.sayf("the rotation to key %d is finished", id)
	return nil
}

// begin finds the key that a rotation under way brings in, or makes one.
func (r *Rotation) begin(ctx context.Context) (uint32, error) {
	marks, err := r.store.KeyMarks(ctx)
	if err != nil {
		return 0, err
	}
	for id, mark := range marks {
		if mark != Rotating {
			continue
		}
		if !r.box.Opens(id) {
			return 0, &RefusedError{"rotate", []string{fmt.Sprintf("a rotation to key %d is under way, which this file does not have: go on with the file that it began with", id)}}
		}
		r.sayf("the rotation to key %d goes on", id)
		return id, nil
	}
	primary, all := r.box.KeyIDs()
	id := all[len(all)-1]
	if id == primary {
		if id, err = r.Add(ctx); err != nil {
			return 0, err
		}
		r.sayf("key %d is added", id)
	} else {
		r.sayf("key %d was added before", id)
	}
	return id, r.store.MarkKey(ctx, id, Rotating)
}

// await says what it waits for, and polls until no process is in the way.
func (r *Rotation) await(ctx context.Context, what string, inTheWay func([]Holder) []string) error {
	said := ""
	for {
		holders, err := r.living(ctx)
		if err == nil {
			reasons := inTheWay(holders)
			if len(reasons) == 0 {
				r.sayf("%s (%d live)", what, len(holders))
				return nil
			}
			if now := strings.Join(reasons, "; "); now != said {
				said = now
				r.sayf("waiting until %s: %s", what, now)
			}
			err = r.pause(ctx)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted while waiting until %s; call it again to go on: %w: %s", what, ctx.Err(), said)
		}
		if err != nil {
			return err
		}
	}
}

// removeOthers takes all keys out but one.
func (r *Rotation) removeOthers(ctx context.Context, id uint32) error {
	_, all := r.box.KeyIDs()
	others := without(all, id)
	err := r.await(ctx, "nobody seals with the older keys, nor has files that are sealed with them", func(holders []Holder) (reasons []string) {
		reasons = append(lacking(holders, id), sealingOther(holders, id)...)
		for _, h := range holders {
			if needed := without(h.Needed, id); len(needed) > 0 {
				reasons = append(reasons, fmt.Sprintf("%s has a list of callers whose secrets are sealed with key %s", h.Process, list(needed)))
			}
		}
		return reasons
	})
	if err != nil {
		return err
	}
	for _, old := range others {
		if err := r.Remove(ctx, old); err != nil {
			return err
		}
		r.sayf("key %d is removed", old)
	}
	return r.await(ctx, "every process has dropped the removed keys", func(holders []Holder) (reasons []string) {
		for _, h := range holders {
			if slices.ContainsFunc(h.Keys, func(key uint32) bool { return key != id }) {
				reasons = append(reasons, h.Process+" still has key "+list(without(h.Keys, id)))
			}
		}
		return reasons
	})
}
