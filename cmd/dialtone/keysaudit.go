package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/user"

	"dialtone/internal/audit"
	"dialtone/internal/keyring"
)

// keysAudit is where the keys commands note what was done to keys.
type keysAudit struct {
	AuditFile string `env:"DIALTONE_AUDIT_FILE" placeholder:"FILE" help:"File for the audit log, which is appended to. Empty: standard error."`
}

// changed is told of each change of a key.
type changed func(ctx context.Context, operation string, key uint32)

// audited makes an operation on keys and notes each change of a key that done is
// told of, and the operation itself if it was refused or failed.
func (a keysAudit) audited(ctx context.Context, c console, operation, file string, key uint32, do func(changed) error) error {
	log, err := audit.Open(a.AuditFile, c.stderr, "json", nil)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // each line was written at once
	note := func(ctx context.Context, operation string, key uint32, outcome, reason string) {
		attrs := []slog.Attr{
			slog.String("audit", "keys"), slog.String("operation", operation), slog.Uint64("key", uint64(key)), slog.String("outcome", outcome),
			slog.String("user", userName()), slog.String("host", hostName()), slog.String("keyset_file", file),
		}
		if reason != "" {
			attrs = append(attrs, slog.String("reason", reason))
		}
		log.LogAttrs(ctx, slog.LevelInfo, "keys changed", attrs...)
	}
	err = do(func(ctx context.Context, operation string, key uint32) { note(ctx, operation, key, "done", "") })
	if err == nil {
		return nil
	}
	if _, wrong := errors.AsType[usageError](err); wrong {
		return err // nothing was tried
	}
	outcome := "failed"
	if _, refused := errors.AsType[*keyring.RefusedError](err); refused {
		outcome = "refused"
	}
	note(ctx, operation, key, outcome, err.Error())
	return err
}

// userName is who runs the command, as far as the machine knows.
func userName() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
