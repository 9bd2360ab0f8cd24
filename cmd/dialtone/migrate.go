package main

import (
	"context"
	"fmt"
	"time"

	"dialtone/internal/config"
	"dialtone/internal/secret"
	"dialtone/internal/service"
)

// migrateCommand is `dialtone migrate`.
type migrateCommand struct {
	config.Postgres `embed:""`
	config.Keys     `embed:""`
	Timeout         time.Duration `default:"5m" help:"Time for the whole migration, a duration."`
}

// Run brings the schema up to date. Several may run at once: one works, the
// others wait and find nothing to do.
func (m *migrateCommand) Run(ctx context.Context, c console) error {
	box, err := secret.OpenBox(m.Keyset)
	if err != nil {
		return usageError{fmt.Errorf("DIALTONE_KEYSET: %w", err)}
	}
	store, err := service.OpenPostgres(ctx, m.Postgres, box)
	if err != nil {
		return usageError{err}
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	if err := store.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := store.CheckKeys(ctx); err != nil {
		return fmt.Errorf("check the keyset: %w", err)
	}
	_, err = fmt.Fprintln(c.stdout, "the schema is up to date")
	return err
}
