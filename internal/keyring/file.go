package keyring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"dialtone/internal/secret"
)

// maxFile bounds a keyset's file; a key takes about 200 bytes.
const maxFile = 64 << 10

// File is the path of the file that holds a keyset.
type File string

// Read reads the keyset. The error names no path: whoever put the keyset itself
// in its place must not find it in a log.
func (f File) Read() (secret.Text, error) {
	file, err := os.Open(string(f))
	if err != nil {
		return secret.Text{}, reason(err)
	}
	defer func() { _ = file.Close() }() // only read
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return secret.Text{}, reason(err)
	}
	if len(raw) > maxFile {
		return secret.Text{}, errors.New("the keyset's file is larger than 64 KiB")
	}
	return secret.New(strings.TrimSpace(string(raw))), nil
}

func reason(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("the keyset's file cannot be read: %w", pathErr.Err)
	}
	return errors.New("the keyset's file cannot be read")
}

// Edit replaces the keyset by what change makes of it. Of several that edit one
// file on one machine each sees what the one before left.
func (f File) Edit(change func(secret.Text) (secret.Text, error)) error {
	path, err := filepath.EvalSymlinks(string(f))
	if err != nil {
		return reason(err)
	}
	unlock, err := lock(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("lock the directory of the keyset's file: %w", err)
	}
	defer unlock()
	keys, err := f.Read()
	if err != nil {
		return err
	}
	changed, err := change(keys)
	if err != nil || changed.Equal(keys) {
		return err
	}
	if err := secret.ReplaceFile(path, secret.New(changed.Reveal()+"\n")); err != nil {
		return fmt.Errorf("replace the keyset's file: %w", err)
	}
	return nil
}

// lock takes the directory for this process and waits for whoever has it; the
// kernel lets it go when the process ends, however it ends.
func lock(directory string) (unlock func(), err error) {
	d, err := os.Open(directory) //nolint:gosec // the directory of the operator's file
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return func() { _ = d.Close() }, nil
}
