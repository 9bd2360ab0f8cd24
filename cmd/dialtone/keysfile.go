package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"dialtone/internal/keyring"
	"dialtone/internal/secret"
)

// keysetFile is the file that a keys command works on.
type keysetFile struct {
	Keyset string `name:"keyset-file" env:"DIALTONE_KEYSET_FILE" placeholder:"FILE" help:"File that holds the keyset."`
}

// file is the file, which must be there. The error does not repeat its name: it
// may be the keyset itself, put there by mistake.
func (f keysetFile) file() (keyring.File, error) {
	if f.Keyset == "" {
		return "", usageError{errors.New("missing flag: --keyset-file or DIALTONE_KEYSET_FILE")}
	}
	if _, err := os.Stat(f.Keyset); err != nil {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		return "", usageError{fmt.Errorf("the keyset's file: %w", err)}
	}
	return keyring.File(f.Keyset), nil
}

// open opens the keyset.
func (f keysetFile) open() (*secret.Box, error) {
	file, err := f.file()
	if err != nil {
		return nil, err
	}
	keys, err := file.Read()
	if err != nil {
		return nil, usageError{err}
	}
	return secret.OpenBox(keys)
}
