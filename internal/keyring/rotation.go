package keyring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dialtone/internal/secret"
)

// Rotation changes the keys of a store, a step at a time. Each step can be made
// again after it was interrupted, and is refused where it would do harm.
type Rotation struct {
	store Store
	box   *secret.Box
	file  File
	cfg   RotationConfig
	quiet bool // those that were silent have had their time
}

// RotationConfig are a Rotation's tunables.
type RotationConfig struct {
	// Say tells the operator what is done and what is waited for.
	Say func(text string)
	// Done is told of each change of a key: add, promote, reseal or remove.
	Done func(ctx context.Context, operation string, key uint32)
	// Limit bounds a step of a reseal, in values. Default 200.
	Limit int
	// Poll is how often processes are looked at while they are waited for.
	// Default 500 ms.
	Poll time.Duration
	// Patience is how long a process that was not heard of lately may take to be
	// heard of again, before it counts as gone. Default 12 s, which is more than
	// two heartbeats.
	Patience time.Duration
}

// RefusedError says why a step was not taken. Nothing was changed.
type RefusedError struct {
	Step    string
	Reasons []string
}

// Error lists the reasons.
func (e *RefusedError) Error() string { return e.Step + " refused: " + strings.Join(e.Reasons, "; ") }

// NewRotation makes a Rotation of the keyset in file. box must be the store's
// own, opened with that file's keyset.
func NewRotation(store Store, box *secret.Box, file File, cfg RotationConfig) *Rotation {
	cfg.Limit = cmp.Or(cfg.Limit, 200)
	cfg.Poll = cmp.Or(cfg.Poll, 500*time.Millisecond)
	cfg.Patience = cmp.Or(cfg.Patience, 12*time.Second)
	if cfg.Say == nil {
		cfg.Say = func(string) {}
	}
	if cfg.Done == nil {
		cfg.Done = func(context.Context, string, uint32) {}
	}
	return &Rotation{store: store, box: box, file: file, cfg: cfg}
}

func (r *Rotation) sayf(format string, args ...any) { r.cfg.Say(fmt.Sprintf(format, args...)) }

// Check says whether the file's keyset is that of the store.
func (r *Rotation) Check(ctx context.Context) error {
	if err := r.store.CheckKeyset(ctx, r.box); err != nil {
		return fmt.Errorf("the keyset's file does not fit the store: %w", err)
	}
	return nil
}

// Add adds a key to the file, which opens and does not seal yet.
func (f File) Add() (id uint32, err error) {
	err = f.Edit(func(keys secret.Text) (secret.Text, error) {
		changed, err := secret.AddKey(keys)
		if err != nil {
			return changed, err
		}
		box, err := secret.OpenBox(changed)
		if err != nil {
			return changed, err
		}
		_, all := box.KeyIDs()
		id = all[len(all)-1]
		return changed, nil
	})
	return id, err
}

// Add is File.Add, and takes the new key up.
func (r *Rotation) Add(ctx context.Context) (id uint32, err error) {
	if id, err = r.file.Add(); err != nil {
		return 0, err
	}
	r.cfg.Done(ctx, "add", id)
	return id, r.reopen()
}

// reopen takes up what the file holds.
func (r *Rotation) reopen() error {
	keys, err := r.file.Read()
	if err != nil {
		return err
	}
	next, err := secret.OpenBox(keys)
	if err != nil {
		return err
	}
	r.box.Swap(next)
	return nil
}

// Promote makes key id the one that seals. It is refused until every process
// that lives reports the key. From the moment before it no process can start
// that lacks it.
func (r *Rotation) Promote(ctx context.Context, id uint32) error {
	const step = "promote"
	if !r.box.Opens(id) {
		return fmt.Errorf("promote key: the keyset has no enabled key %d", id)
	}
	marks, err := r.store.KeyMarks(ctx)
	if err != nil {
		return err
	}
	if marks[id] == Retired {
		return &RefusedError{step, []string{fmt.Sprintf("key %d was removed from service", id)}}
	}
	if err := r.allHave(ctx, step, id); err != nil {
		return err
	}
	keys, err := r.file.Read()
	if err != nil {
		return err
	}
	promoted, err := secret.Promote(keys, id)
	if err != nil {
		return err
	}
	next, err := secret.OpenBox(promoted)
	if err != nil {
		return err
	}
	before, err := secret.OpenBox(keys)
	if err != nil {
		return err
	}
	r.box.Swap(next)
	if err := r.store.SealFence(ctx); err != nil {
		return err
	}
	// Who has reported meanwhile either saw the fence or is seen here.
	if err := r.allHave(ctx, step, id); err != nil {
		r.box.Swap(before)
		return errors.Join(err, r.store.SealFence(ctx))
	}
	if err := r.file.Edit(func(keys secret.Text) (secret.Text, error) { return secret.Promote(keys, id) }); err != nil {
		return err
	}
	r.cfg.Done(ctx, step, id)
	return r.reopen()
}

// allHave refuses a step as long as a process that lives lacks the key.
func (r *Rotation) allHave(ctx context.Context, step string, id uint32) error {
	holders, err := r.living(ctx)
	if err != nil {
		return err
	}
	return refuse(step, lacking(holders, id))
}

func refuse(step string, reasons []string) error {
	if len(reasons) == 0 {
		return nil
	}
	return &RefusedError{step, reasons}
}

// lacking says of each process that lacks a key why it may.
func lacking(holders []Holder, id uint32) (reasons []string) {
	for _, h := range holders {
		switch {
		case h.Primary == 0:
			reasons = append(reasons, h.Process+" does not report its keys: its version is older")
		case slices.Contains(h.Keys, id):
		case h.Reloads:
			reasons = append(reasons, fmt.Sprintf("%s does not have key %d yet: its keyset file lacks it", h.Process, id))
		default:
			reasons = append(reasons, fmt.Sprintf("%s does not have key %d: it was given its keyset in a variable and must be restarted with the new one", h.Process, id))
		}
	}
	return reasons
}

// sealingOther says which processes may still store what another key sealed.
func sealingOther(holders []Holder, id uint32) (reasons []string) {
	for _, h := range holders {
		if others := without(h.Sealing, id); len(others) > 0 {
			reasons = append(reasons, fmt.Sprintf("%s still seals with key %s", h.Process, list(others)))
		}
	}
	return reasons
}

// living lists the processes that live. One that was silent for a while may
// only have been cut off from the store, as this program may have been: it gets
// the time to be heard of.
func (r *Rotation) living(ctx context.Context) ([]Holder, error) {
	for began := time.Now(); ; {
		all, err := r.store.KeyHolders(ctx)
		if err != nil {
			return nil, err
		}
		alive := slices.DeleteFunc(slices.Clone(all), func(h Holder) bool { return h.Age > Silence })
		if len(alive) == len(all) || r.quiet {
			return alive, nil
		}
		if time.Since(began) > r.cfg.Patience {
			r.quiet = true
			for _, h := range all {
				if h.Age > Silence {
					r.sayf("%s was last heard of %s ago and counts as gone", h.Process, h.Age.Round(time.Second))
				}
			}
			return alive, nil
		}
		if err := r.pause(ctx); err != nil {
			return nil, err
		}
	}
}

func (r *Rotation) pause(ctx context.Context) error {
	select {
	case <-time.After(r.cfg.Poll):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reseal seals everything in the store with the primary key, in bounded steps.
// It is refused as long as a process that lives lacks that key.
func (r *Rotation) Reseal(ctx context.Context) (Step, error) {
	const step = "reseal"
	primary, _ := r.box.KeyIDs()
	var all Step
	if err := r.allHave(ctx, step, primary); err != nil {
		return all, err
	}
	if err := r.store.SealFence(ctx); err != nil {
		return all, err
	}
	for after := ""; ; {
		did, err := r.store.Reseal(ctx, after, r.cfg.Limit)
		if err != nil {
			return all, err
		}
		all.Add(did)
		if after = did.Next; after == "" {
			break
		}
	}
	r.cfg.Done(ctx, step, primary)
	if len(all.Unopened) > 0 {
		return all, fmt.Errorf("reseal: no key of the keyset opens %s: left as they are", Counts(all.Unopened))
	}
	holders, err := r.living(ctx)
	if err != nil {
		return all, err
	}
	if behind := sealingOther(holders, primary); len(behind) > 0 {
		return all, fmt.Errorf("reseal is not finished: %s; make it again when they have the promoted keyset", strings.Join(behind, "; "))
	}
	return all, nil
}

// Remove takes key id out of the file. It is refused while anything in the store
// is sealed with it, and while a process that lives seals with it or needs it
// for a file of its own. From the moment before it no process can start that
// would seal with it.
func (r *Rotation) Remove(ctx context.Context, id uint32) error {
	const step = "remove"
	primary, _ := r.box.KeyIDs()
	if id == primary {
		return &RefusedError{step, []string{fmt.Sprintf("key %d is the primary key: promote another one first", id)}}
	}
	if !r.box.Opens(id) {
		return fmt.Errorf("remove key: the keyset has no key %d", id)
	}
	if err := r.needed(ctx, step, primary, id); err != nil {
		return err
	}
	if err := r.store.MarkKey(ctx, id, Retired); err != nil {
		return err
	}
	// Who has reported meanwhile either saw the mark or is seen here.
	if err := r.needed(ctx, step, primary, id); err != nil {
		return errors.Join(err, r.store.MarkKey(context.WithoutCancel(ctx), id, ""))
	}
	if err := r.file.Edit(func(keys secret.Text) (secret.Text, error) { return secret.RemoveKey(keys, id) }); err != nil {
		return err
	}
	r.cfg.Done(ctx, step, id)
	return r.reopen()
}

// needed refuses a step as long as somebody or something needs a key.
func (r *Rotation) needed(ctx context.Context, step string, primary, id uint32) error {
	holders, err := r.living(ctx)
	if err != nil {
		return err
	}
	reasons := lacking(holders, primary)
	for _, h := range holders {
		if h.Primary == id || slices.Contains(h.Sealing, id) {
			reasons = append(reasons, fmt.Sprintf("%s still seals with key %d", h.Process, id))
		}
		if slices.Contains(h.Needed, id) {
			reasons = append(reasons, fmt.Sprintf("%s has a list of callers whose secrets are sealed with key %d", h.Process, id))
		}
	}
	census, err := r.store.CountSealed(ctx)
	if err != nil {
		return err
	}
	if left := census.Of(id); len(left) > 0 {
		reasons = append(reasons, fmt.Sprintf("key %d has sealed %s: reseal first", id, Counts(left)))
	}
	return refuse(step, reasons)
}

// Counts is a list of counts by table.
func Counts(counts map[string]int) string {
	if len(counts) == 0 {
		return "nothing"
	}
	var parts []string
	for _, table := range Tables(counts) {
		parts = append(parts, fmt.Sprintf("%d in %s", counts[table], table))
	}
	return strings.Join(parts, ", ")
}

func list(ids []uint32) string { return strings.Trim(fmt.Sprint(ids), "[]") }

func without(ids []uint32, id uint32) []uint32 {
	return slices.DeleteFunc(slices.Clone(ids), func(other uint32) bool { return other == id })
}
