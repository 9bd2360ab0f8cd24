package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dialtone/internal/auth"
	"dialtone/internal/config"
	"dialtone/internal/keyring"
	"dialtone/internal/secret"
	"dialtone/internal/service"
	"dialtone/internal/store/sqlite"
)

// keysStore is a keyset's file with the store that it seals.
type keysStore struct {
	keysetFile
	keysAudit
	config.Postgres `embed:""`
	Data            string        `placeholder:"DIR" help:"Data directory of 'dialtone up', instead of Postgres and a keyset's file."`
	AuthFile        string        `env:"DIALTONE_AUTH_FILE" placeholder:"FILE" help:"List of callers whose secrets are sealed with the keyset."`
	Timeout         time.Duration `default:"15m" help:"Time for the whole command, a duration."`
}

// vault is what a keys command needs of a store.
type vault interface {
	keyring.Store
	Ping(ctx context.Context) error
}

// opened is a keysStore that was opened.
type opened struct {
	*keyring.Rotation
	file  keyring.File
	box   *secret.Box
	store vault
}

// open opens the store with the file's keyset, and checks that the two belong
// together. close comes after it.
func (k keysStore) open(ctx context.Context, c console, told changed) (o opened, done func(), err error) {
	k.Keyset = k.path()
	if o.file, err = k.file(); err != nil {
		return o, nil, err
	}
	if o.box, err = k.keysetFile.open(); err != nil {
		return o, nil, err
	}
	switch {
	case k.Data != "":
		path := filepath.Join(k.Data, "dialtone.db")
		if _, err := os.Stat(path); err != nil {
			return o, nil, usageError{fmt.Errorf("the data directory: %w", err)}
		}
		s, err := sqlite.Open(ctx, sqlite.Config{Path: path, Box: o.box})
		if err != nil {
			return o, nil, err
		}
		o.store, done = s, func() { _ = s.Close() } // it has committed by then
	case k.PostgresDSN.IsSet():
		if err := k.Check(); err != nil {
			return o, nil, usageError{err}
		}
		s, err := service.OpenPostgres(ctx, k.Postgres, o.box)
		if err != nil {
			return o, nil, usageError{err}
		}
		o.store, done = s, s.Close
	default:
		return o, nil, usageError{errNoStore}
	}
	o.Rotation = keyring.NewRotation(o.store, o.box, o.file, keyring.RotationConfig{Say: c.note, Done: told})
	if err = errors.Join(o.store.Ping(ctx), o.Check(ctx)); err != nil {
		done()
		return o, nil, err
	}
	return o, done, nil
}

var errNoStore = errors.New("missing flag: --postgres-dsn or DIALTONE_POSTGRES_DSN, or --data: the store must be asked")

// within opens the store and makes a step with it, in the time there is, and
// notes what was changed.
func (k keysStore) within(ctx context.Context, c console, operation string, key uint32, do func(context.Context, opened) error) error {
	ctx, cancel := context.WithTimeout(ctx, k.Timeout)
	defer cancel()
	return k.audited(ctx, c, operation, k.path(), key, func(told changed) error {
		o, done, err := k.open(ctx, c, told)
		if err != nil {
			return err
		}
		defer done()
		return do(ctx, o)
	})
}

// path is where the keyset is.
func (k keysStore) path() string {
	if k.Data != "" {
		return filepath.Join(k.Data, "keyset.json")
	}
	return k.Keyset
}

// offline is the choice to ask no store.
type offline struct {
	Offline bool `help:"Change the file alone, without asking the store: what is sealed, and which processes run, is then yours to know."`
}

// resealCallers seals the list of callers again, where there is one.
func (k keysStore) resealCallers(c console, box *secret.Box) error {
	if k.AuthFile == "" {
		return nil
	}
	n, err := auth.Reseal(k.AuthFile, box)
	if err == nil && n > 0 {
		c.note(fmt.Sprintf("sealed again in the list of callers: %d", n))
	}
	return err
}

// callersDoNotNeed errs if the list of callers is sealed with a key.
func (k keysStore) callersDoNotNeed(id uint32) error {
	if k.AuthFile == "" {
		return nil
	}
	ids, err := auth.SealedWith(k.AuthFile)
	if err != nil {
		return err
	}
	if slices.Contains(ids, id) {
		return &keyring.RefusedError{Step: "remove", Reasons: []string{fmt.Sprintf("the list of callers has secrets that are sealed with key %d: reseal first", id)}}
	}
	return nil
}
