package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// AnnounceListeners notes where a process listens, as IP:port, in place of what
// it announced before, and forgets processes that have not been heard of for an
// hour. Without addresses the process withdraws.
func (s *Store) AnnounceListeners(ctx context.Context, process string, addresses []string) error {
	if addresses == nil {
		addresses = []string{}
	}
	var all pgx.Batch
	all.Queue(`
insert into listeners (process, address, seen_at)
select distinct $1, a, statement_timestamp() from unnest($2::text[]) as a
on conflict (process, address) do update set seen_at = excluded.seen_at`, process, addresses)
	all.Queue("delete from listeners where process = $1 and address <> all($2::text[])", process, addresses)
	// Every process does this at its own pace: skip what another is removing.
	all.Queue(`
delete from listeners
 where (process, address) in (select l.process, l.address from listeners l
                               where l.seen_at < statement_timestamp() - interval '1 hour' for update skip locked)`)
	if err := s.pool.SendBatch(ctx, &all).Close(); err != nil {
		return fmt.Errorf("announce listeners: %w", translate(err))
	}
	return nil
}

// Listeners lists the addresses that were announced within the last hour.
func (s *Store) Listeners(ctx context.Context) ([]string, error) {
	addresses, err := collect(ctx, s.pool, pgx.RowTo[string], `
select distinct l.address from listeners l
 where l.seen_at >= statement_timestamp() - interval '1 hour'
 order by l.address`)
	if err != nil {
		return nil, fmt.Errorf("list listeners: %w", err)
	}
	return addresses, nil
}
