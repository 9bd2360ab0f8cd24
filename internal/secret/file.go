package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ReplaceFile replaces the content of the file at path at once: a crash leaves
// the old or the new file whole, and a power cut after it the new one. Mode and
// owner stay, so that the service can still read it. Its errors name no path.
func ReplaceFile(path string, content Text) error {
	old, err := os.Stat(path)
	if err != nil {
		return withoutPath(err)
	}
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("a new file beside it: %w", withoutPath(err))
	}
	_, err = next.WriteString(content.Reveal())
	err = errors.Join(err, likeOld(next, old), next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(withoutPath(err), os.Remove(next.Name()))
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes a rename outlast a power cut: what is sealed next must
// not be sealed with a key that is then lost.
func syncDirectory(path string) error {
	d, err := os.Open(path) //nolint:gosec // the directory of the operator's file
	if err != nil {
		return fmt.Errorf("sync its directory: %w", withoutPath(err))
	}
	defer func() { _ = d.Close() }() // only read
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync its directory: %w", withoutPath(err))
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

// withoutPath leaves the names of files out of an error.
func withoutPath(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return link.Err
	}
	return err
}
