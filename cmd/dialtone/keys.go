package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"dialtone/internal/auth"
	"dialtone/internal/secret"
)

// keysCommand works on a keyset's file, and on the store that is sealed with
// it. It prints a keyset only where making one is the very command.
type keysCommand struct {
	New     keysNew     `cmd:"" help:"Print a fresh keyset."`
	Show    keysShow    `cmd:"" help:"List the ids of a keyset's keys, the primary one first."`
	Status  keysStatus  `cmd:"" help:"Show which processes have which keys, and what each key has sealed."`
	Rotate  keysRotate  `cmd:"" help:"Make a whole rotation: add a key, promote it, and seal everything again."`
	Add     keysAdd     `cmd:"" help:"Add a key that opens but does not seal yet."`
	Promote keysPromote `cmd:"" help:"Make a key the one that seals, once every process has it."`
	Reseal  keysReseal  `cmd:"" help:"Seal with the primary key everything that another one has sealed."`
	Remove  keysRemove  `cmd:"" help:"Take a key out, once nothing and nobody needs it."`
	Seal    keysSeal    `cmd:"" help:"Seal an access key's secret, read from standard input, for the auth file."`
}

type keysNew struct{}

// Run prints a keyset to standard output.
func (keysNew) Run(c console) error {
	keyset, err := secret.NewKeyset()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, keyset.Reveal())
	return err
}

type keysShow struct{ keysetFile }

// Run lists key ids.
func (k keysShow) Run(c console) error {
	box, err := k.open()
	if err != nil {
		return err
	}
	primary, all := box.KeyIDs()
	lines := []string{fmt.Sprintf("%d primary", primary)}
	for _, id := range all {
		if id != primary {
			lines = append(lines, strconv.FormatUint(uint64(id), 10))
		}
	}
	_, err = fmt.Fprintln(c.stdout, strings.Join(lines, "\n"))
	return err
}

type keysAdd struct {
	keysetFile
	keysAudit
}

// Run adds a key and says its id.
func (k keysAdd) Run(ctx context.Context, c console) error {
	file, err := k.file()
	if err != nil {
		return err
	}
	return k.audited(ctx, c, "add", k.Keyset, 0, func(done changed) error {
		id, err := file.Add()
		if err != nil {
			return err
		}
		done(ctx, "add", id)
		_, err = fmt.Fprintln(c.stdout, id)
		return err
	})
}

type keysSeal struct {
	keysetFile
	keysAudit
	AccessKey string `arg:"" help:"The access key that the secret belongs to."`
}

// Run prints the sealed secret for secret_sealed.
func (k keysSeal) Run(ctx context.Context, c console) error {
	box, err := k.open()
	if err != nil {
		return err
	}
	sk, err := readSecret(c)
	if err != nil {
		return usageError{err}
	}
	primary, _ := box.KeyIDs()
	return k.audited(ctx, c, "seal", k.Keyset, primary, func(done changed) error {
		sealed, err := auth.SealSecret(box, k.AccessKey, sk)
		if err != nil {
			return err
		}
		done(ctx, "seal", primary)
		_, err = fmt.Fprintln(c.stdout, sealed)
		return err
	})
}

// maxSecret bounds what is read as a secret.
const maxSecret = 4096

// readSecret reads standard input; a terminal is asked, and does not show what
// is typed.
func readSecret(c console) (secret.Text, error) {
	var raw []byte
	var err error
	if f, ok := c.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		c.note("Secret of the access key (it is not shown):")
		raw, err = term.ReadPassword(int(f.Fd()))
	} else {
		raw, err = readAtMost(c.stdin, maxSecret)
	}
	if err != nil {
		return secret.Text{}, fmt.Errorf("read the secret: %w", err)
	}
	text := strings.TrimRight(string(raw), "\r\n")
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return secret.Text{}, errors.New("standard input must hold the secret on one line")
	}
	return secret.New(text), nil
}
