package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"dialtone/internal/auth"
	"dialtone/internal/secret"
)

// keysCommand works on keyset files. It prints a keyset only where making one
// is the very command.
type keysCommand struct {
	New     keysNew     `cmd:"" help:"Print a fresh keyset."`
	Show    keysShow    `cmd:"" help:"List the ids of a keyset's keys, the primary one first."`
	Add     keysAdd     `cmd:"" help:"Add a key that opens but does not seal yet."`
	Promote keysPromote `cmd:"" help:"Make a key the one that seals."`
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

// keysetFile is the file that a keys command works on.
type keysetFile struct {
	Keyset string `name:"keyset-file" required:"" env:"DIALTONE_KEYSET_FILE" help:"File that holds the keyset." type:"existingfile"`
}

func (f keysetFile) read() (secret.Text, error) {
	raw, err := os.ReadFile(f.Keyset)
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(strings.TrimSpace(string(raw))), nil
}

// write replaces the file at once, so that a crash leaves the old one whole.
func (f keysetFile) write(keyset secret.Text) error {
	next := f.Keyset + ".next"
	if err := os.WriteFile(next, []byte(keyset.Reveal()+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(next, f.Keyset)
}

type keysShow struct{ keysetFile }

// Run lists key ids.
func (k keysShow) Run(c console) error {
	keyset, err := k.read()
	if err != nil {
		return err
	}
	box, err := secret.OpenBox(keyset)
	if err != nil {
		return err
	}
	primary, all := box.KeyIDs()
	fmt.Fprintf(c.stdout, "%d primary\n", primary)
	for _, id := range all {
		if id != primary {
			fmt.Fprintln(c.stdout, id)
		}
	}
	return nil
}

type keysAdd struct{ keysetFile }

// Run adds a key and says its id.
func (k keysAdd) Run(c console) error {
	keyset, err := k.read()
	if err != nil {
		return err
	}
	if keyset, err = secret.AddKey(keyset); err != nil {
		return err
	}
	box, err := secret.OpenBox(keyset)
	if err != nil {
		return err
	}
	if err := k.write(keyset); err != nil {
		return err
	}
	_, all := box.KeyIDs()
	_, err = fmt.Fprintln(c.stdout, all[len(all)-1])
	return err
}

type keysPromote struct {
	keysetFile
	ID uint32 `arg:"" help:"Id of the key."`
}

// Run promotes a key. Every process must know the key before: see
// docs/operations.md.
func (k keysPromote) Run() error {
	keyset, err := k.read()
	if err != nil {
		return err
	}
	if keyset, err = secret.Promote(keyset, k.ID); err != nil {
		return err
	}
	return k.write(keyset)
}

type keysSeal struct {
	keysetFile
	AccessKey string `arg:"" help:"The access key that the secret belongs to."`
}

// Run prints the sealed secret for secret_sealed.
func (k keysSeal) Run(c console) error {
	keyset, err := k.read()
	if err != nil {
		return err
	}
	box, err := secret.OpenBox(keyset)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(c.stdin, 4096))
	if err != nil {
		return err
	}
	sk := secret.New(strings.TrimRight(string(raw), "\r\n"))
	if !sk.IsSet() {
		return usageError{errors.New("no secret on standard input")}
	}
	sealed, err := auth.SealSecret(box, k.AccessKey, sk)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, sealed)
	return err
}
