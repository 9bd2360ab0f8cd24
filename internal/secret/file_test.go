package secret_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dialtone/internal/secret"
)

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "keyset.json")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	owner := os.Getuid()
	if owner == 0 { // who is root may give it to the service
		owner = 65534
		if err := os.Chown(path, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	if err := secret.ReplaceFile(path, secret.New("new")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "new" {
		t.Errorf("holds %q, %v", text, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if who, ok := info.Sys().(*syscall.Stat_t); !ok || int(who.Uid) != owner || info.Mode() != fs.FileMode(0o640) {
		t.Errorf("belongs to %+v with mode %v, want %d and 0640", info.Sys(), info.Mode(), owner)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := secret.ReplaceFile(filepath.Join(dir, "nowhere"), secret.New("new")); err == nil || strings.Contains(err.Error(), "nowhere") {
		t.Errorf("of a file that is not there: %v", err)
	}
}
