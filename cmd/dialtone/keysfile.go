package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"dialtone/internal/secret"
)

// maxKeyset bounds a keyset's file; a key takes about 200 bytes.
const maxKeyset = 64 << 10

// keysetFile is the file that a keys command works on.
type keysetFile struct {
	Keyset string `name:"keyset-file" required:"" env:"DIALTONE_KEYSET_FILE" placeholder:"FILE" help:"File that holds the keyset."`
}

func (f keysetFile) read() (secret.Text, error) {
	raw, err := readBounded(f.Keyset, maxKeyset)
	if err != nil {
		return secret.Text{}, usageError{fmt.Errorf("the keyset's file: %w", err)}
	}
	return secret.New(strings.TrimSpace(string(raw))), nil
}

// write replaces the file at once, so that a crash leaves the old one whole,
// and keeps its mode and owner, so that the service can still read it. Of a
// symbolic link, what it names is replaced.
func (f keysetFile) write(keyset secret.Text) error {
	path, err := filepath.EvalSymlinks(f.Keyset)
	if err != nil {
		return fmt.Errorf("the keyset's file: %w", err)
	}
	old, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("the keyset's file: %w", err)
	}
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("a new file beside the keyset's: %w", err)
	}
	_, err = next.WriteString(keyset.Reveal() + "\n")
	err = errors.Join(err, likeOld(next, old), next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("replace the keyset's file: %w", err), os.Remove(next.Name()))
	}
	return nil
}

// likeOld gives a file the owner and mode of another. A user who may not give
// files away is the owner already, or must not take the file over.
func likeOld(next *os.File, old fs.FileInfo) error {
	if owner, ok := old.Sys().(*syscall.Stat_t); ok {
		if err := next.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return next.Chmod(old.Mode().Perm())
}
