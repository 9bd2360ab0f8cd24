package canary_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
)

// dumpPostgres gives every row of every table of a database as text, and again
// with the bytes of its columns of bytes as they are.
func dumpPostgres(t *testing.T, dsn string, into *place) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `select quote_ident(table_schema) || '.' || quote_ident(table_name) from information_schema.tables
		where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema') order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) == 0 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	for _, table := range tables {
		text := into.stream()
		_, _ = fmt.Fprintln(text, "table", table)
		if _, err := conn.PgConn().CopyTo(ctx, text, "copy (select * from "+table+") to stdout"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.PgConn().CopyTo(ctx, into.stream(), "copy (select * from "+table+") to stdout (format binary)"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(ctx, "checkpoint"); err != nil {
		t.Fatal(err)
	}
}

// dumpRedis gives every key of every database with what it holds.
func (g *ground) dumpRedis(t *testing.T, into *place) {
	t.Helper()
	ctx := t.Context()
	out := into.stream()
	for db := range 16 {
		conn := g.client.Conn()
		if err := conn.Select(ctx, db).Err(); err != nil {
			t.Fatal(err)
		}
		keys, err := conn.Keys(ctx, "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(keys)
		for _, key := range keys {
			_, _ = fmt.Fprintf(out, "%d %s\n", db, key)
			raw, err := conn.Dump(ctx, key).Result()
			if err == nil {
				into.add([]byte(raw))
			}
			kind, err := conn.Type(ctx, key).Result()
			if err != nil {
				t.Fatal(err)
			}
			read := map[string][]any{
				"string": {"get", key}, "hash": {"hgetall", key}, "list": {"lrange", key, 0, -1}, "set": {"smembers", key},
				"zset": {"zrange", key, 0, -1, "withscores"}, "stream": {"xrange", key, "-", "+"},
			}[kind]
			if read == nil { // it has ended meanwhile
				continue
			}
			value, err := conn.Do(ctx, read...).Result()
			if err == nil {
				_, _ = fmt.Fprintf(out, "%v\n", value)
			}
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// proc gives the command line and the environment of a process, as others see
// them, and what it says of itself.
func proc(t *testing.T, pid int, into *place) {
	t.Helper()
	for _, name := range []string{"cmdline", "environ", "comm", "status", "maps"} {
		raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name))
		if err != nil {
			t.Fatal(err)
		}
		into.add(raw)
	}
}
