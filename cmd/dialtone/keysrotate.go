package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dialtone/internal/keyring"
	"dialtone/internal/secret"
)

type keysPromote struct {
	keysStore
	offline
	ID uint32 `arg:"" help:"Id of the key, as show and add print it."`
}

// Run promotes a key.
func (k keysPromote) Run(ctx context.Context, c console) error {
	if k.Offline {
		return k.edit(ctx, c, "promote", k.ID, func(keys secret.Text) (secret.Text, error) { return secret.Promote(keys, k.ID) })
	}
	return k.within(ctx, c, "promote", k.ID, func(ctx context.Context, o opened) error {
		if err := o.Promote(ctx, k.ID); err != nil {
			return err
		}
		c.note(fmt.Sprintf("key %d is the primary key; make 'dialtone keys reseal' when every process seals with it", k.ID))
		return nil
	})
}

// edit changes the file alone.
func (k keysStore) edit(ctx context.Context, c console, operation string, key uint32, change func(secret.Text) (secret.Text, error)) error {
	k.Keyset = k.path()
	file, err := k.file()
	if err != nil {
		return err
	}
	return k.audited(ctx, c, operation, k.Keyset, key, func(done changed) error {
		if err := file.Edit(change); err != nil {
			return err
		}
		done(ctx, operation+" offline", key)
		c.note("the keyset's file is changed; the store was not asked")
		return nil
	})
}

type keysReseal struct{ keysStore }

// Run seals everything again and says how much that was.
func (k keysReseal) Run(ctx context.Context, c console) error {
	return k.within(ctx, c, "reseal", 0, func(ctx context.Context, o opened) error {
		did, err := o.Reseal(ctx)
		for _, table := range keyring.Tables(did.Resealed) {
			if _, err := fmt.Fprintf(c.stdout, "%s %d\n", table, did.Resealed[table]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		return k.resealCallers(c, o.box)
	})
}

type keysRemove struct {
	keysStore
	offline
	ID uint32 `arg:"" help:"Id of the key, as show prints it."`
}

// Run removes a key.
func (k keysRemove) Run(ctx context.Context, c console) error {
	if k.Offline {
		return k.edit(ctx, c, "remove", k.ID, func(keys secret.Text) (secret.Text, error) {
			if err := k.callersDoNotNeed(k.ID); err != nil {
				return keys, err
			}
			return secret.RemoveKey(keys, k.ID)
		})
	}
	return k.within(ctx, c, "remove", k.ID, func(ctx context.Context, o opened) error {
		if err := k.callersDoNotNeed(k.ID); err != nil {
			return err
		}
		if err := o.Remove(ctx, k.ID); err != nil {
			return err
		}
		c.note(fmt.Sprintf("key %d is removed", k.ID))
		return nil
	})
}

type keysRotate struct {
	keysStore
	Remove bool `help:"Take the older keys out at the end. Backups of the store that were made before then need a copy of the old keyset."`
}

// Run makes a rotation, or finishes one that was interrupted.
func (k keysRotate) Run(ctx context.Context, c console) error {
	return k.within(ctx, c, "rotate", 0, func(ctx context.Context, o opened) error {
		return o.Rotate(ctx, keyring.Rotate{Remove: k.Remove, Beside: func() error { return k.resealCallers(c, o.box) }})
	})
}

type keysStatus struct{ keysStore }

// Run shows processes, keys, and what they have sealed.
func (k keysStatus) Run(ctx context.Context, c console) error {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	o, done, err := k.open(ctx, c, nil)
	if err != nil {
		return err
	}
	defer done()
	return k.show(ctx, c, o)
}

func (k keysStatus) show(ctx context.Context, c console, o opened) error {
	holders, err := o.store.KeyHolders(ctx)
	if err != nil {
		return err
	}
	census, err := o.store.CountSealed(ctx)
	if err != nil {
		return err
	}
	marks, err := o.store.KeyMarks(ctx)
	if err != nil {
		return err
	}
	w := &strings.Builder{}
	primary, all := o.box.KeyIDs()
	for _, id := range union(all, census.Keys(), marks) {
		fmt.Fprintf(w, "key %d: %s; has sealed %s\n", id, strings.Join(about(id, primary, all, marks), ", "), keyring.Counts(census.Of(id)))
	}
	for _, h := range holders {
		fmt.Fprintf(w, "%s: %s\n", h.Process, aboutHolder(h))
	}
	_, err = fmt.Fprint(c.stdout, w.String())
	return err
}

func union(all, sealed []uint32, marks map[uint32]keyring.Mark) []uint32 {
	ids := slices.Concat(all, sealed)
	for id := range marks {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func about(id, primary uint32, all []uint32, marks map[uint32]keyring.Mark) (words []string) {
	switch {
	case id == primary:
		words = append(words, "primary in the file")
	case slices.Contains(all, id):
		words = append(words, "in the file")
	default:
		words = append(words, "not in the file")
	}
	if mark := marks[id]; mark != "" {
		words = append(words, string(mark))
	}
	return words
}

func aboutHolder(h keyring.Holder) string {
	if h.Primary == 0 {
		return "does not report its keys"
	}
	words := fmt.Sprintf("seals with %d, opens with %s", h.Primary, strings.Trim(fmt.Sprint(h.Keys), "[]"))
	if !h.Reloads {
		words += ", has its keyset from a variable"
	}
	if h.Age > keyring.Silence {
		words += fmt.Sprintf(", last heard of %s ago", h.Age.Round(time.Second))
	}
	return words
}
