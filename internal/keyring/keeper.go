package keyring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"dialtone/internal/secret"
)

// Heartbeat is how often a process tells of its keys, and Silence after how
// long it counts as gone that does not.
const (
	Heartbeat = 5 * time.Second
	Silence   = time.Minute
)

// KeeperConfig are a Keeper's tunables.
type KeeperConfig struct {
	// Process names the process in the store.
	Process string
	// File is where the keyset came from; "" if it was given in a variable, and
	// then it cannot be read again.
	File File
	// Needed lists the keys that files of this process are sealed with; nil: none.
	Needed func() []uint32
	// Taken is told of a keyset that was read again; nil: nobody.
	Taken func(ctx context.Context, primary uint32, keys []uint32)
	// Look is how often the file is looked at. Default 2 s.
	Look time.Duration
	// Heartbeat is how often keys are told. Default Heartbeat.
	Heartbeat time.Duration
}

// KeeperStore is a store as a Keeper needs it.
type KeeperStore interface {
	ReportKeys(ctx context.Context, h Holder) error
	WithdrawKeys(ctx context.Context, process string) error
	CheckKeyset(ctx context.Context, box *secret.Box) error
}

// Keeper keeps one process's Box true to its keyset's file, tells the store
// which keys it has, and finds out when they do not fit the store.
type Keeper struct {
	log   *slog.Logger
	store KeeperStore
	box   *secret.Box
	cfg   KeeperConfig

	mu    sync.Mutex
	read  secret.Text // what the Box was opened with, or what was refused
	fault string      // the last fault that was logged

	stateMu sync.Mutex
	state   error
}

var errUnknown = errors.New("it is not known yet whether the keyset opens what the store holds")

// NewKeeper makes a Keeper of a Box that was opened with keys.
func NewKeeper(log *slog.Logger, store KeeperStore, box *secret.Box, keys secret.Text, cfg KeeperConfig) *Keeper {
	cfg.Look = cmp.Or(cfg.Look, 2*time.Second)
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, Heartbeat)
	if cfg.Needed == nil {
		cfg.Needed = func() []uint32 { return nil }
	}
	return &Keeper{log: log, store: store, box: box, cfg: cfg, read: keys, state: errUnknown}
}

// Start tells the store of the keys, and asks it whether they fit. It errs only
// if they do not; a store that cannot be asked now will be asked by Run.
func (k *Keeper) Start(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err := k.Beat(asking)
	switch {
	case Refused(err):
		k.withdraw(ctx)
		return err
	case err != nil:
		k.log.WarnContext(ctx, "the store cannot be asked whether the keyset fits it; it is asked again", "error", err)
	}
	return nil
}

// Run looks after the keyset until ctx ends, and then forgets the process in the
// store. It errs as soon as the store says that the keyset does not fit it.
func (k *Keeper) Run(ctx context.Context) error {
	look, beat := time.NewTicker(k.cfg.Look), time.NewTicker(k.cfg.Heartbeat)
	defer look.Stop()
	defer beat.Stop()
	defer k.withdraw(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if !k.Reload(ctx) {
				continue
			}
		case <-beat.C:
		}
		if err := k.Beat(ctx); Refused(err) {
			return fmt.Errorf("DIALTONE_KEYSET: %w", err)
		}
	}
}

func (k *Keeper) withdraw(ctx context.Context) {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = k.store.WithdrawKeys(ending, k.cfg.Process) // else it counts as gone in time
}

// Beat tells the store of the keys and then asks whether they fit; in this
// order, see Fence. If not, the file is looked at once more first.
func (k *Keeper) Beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := k.tell(ctx)
	if Refused(err) && k.Reload(ctx) {
		err = k.tell(ctx)
	}
	k.stateMu.Lock()
	defer k.stateMu.Unlock()
	// A store that is away says nothing about keys.
	if err == nil || Refused(err) {
		k.state = err
	}
	return err
}

func (k *Keeper) tell(ctx context.Context) error {
	primary, all := k.box.KeyIDs()
	h := Holder{
		Process: k.cfg.Process, Primary: primary, Keys: all, Sealing: k.box.Sealing(), Needed: k.cfg.Needed(), Reloads: k.cfg.File != "",
	}
	if err := k.store.ReportKeys(ctx, h); err != nil {
		return err
	}
	return k.store.CheckKeyset(ctx, k.box)
}

// Ready says whether the keyset is known to fit the store.
func (k *Keeper) Ready(context.Context) error {
	k.stateMu.Lock()
	defer k.stateMu.Unlock()
	return k.state
}

// Hangup is for SIGHUP: it looks at the file, or says why it cannot.
func (k *Keeper) Hangup(ctx context.Context) {
	if k.cfg.File == "" {
		k.log.WarnContext(ctx, "the keyset was given in DIALTONE_KEYSET and cannot be read again; name its file in DIALTONE_KEYSET_FILE, or restart")
		return
	}
	if !k.Reload(ctx) {
		return
	}
	_ = k.Beat(ctx) // Run finds what is wrong
}

// Reload reads the file, and takes the keyset if it has changed, is one, and
// fits the store; else the old one stays in force. It says whether it took one.
func (k *Keeper) Reload(ctx context.Context) bool {
	if k.cfg.File == "" {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	keys, err := k.cfg.File.Read()
	if err != nil {
		k.complain(ctx, err)
		return false
	}
	if keys.Equal(k.read) {
		k.fault = ""
		return false
	}
	next, err := secret.OpenBox(keys)
	if err != nil {
		k.complain(ctx, err)
		return false
	}
	asking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := k.store.CheckKeyset(asking, next); err != nil {
		k.complain(ctx, err)
		return false
	}
	k.box.Swap(next)
	k.read, k.fault = keys, ""
	primary, all := next.KeyIDs()
	k.log.InfoContext(ctx, "keyset read again", "primary", primary, "keys", all)
	if k.cfg.Taken != nil {
		k.cfg.Taken(ctx, primary, all)
	}
	return true
}

// complain says each fault once, however often the file is looked at.
func (k *Keeper) complain(ctx context.Context, err error) {
	if k.fault == err.Error() {
		return
	}
	k.fault = err.Error()
	k.log.ErrorContext(ctx, "keyset not read again; the old one stays in force", "error", err)
}
