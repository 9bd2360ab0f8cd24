package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dialtone/internal/auth"
	"dialtone/internal/secret"
)

// freshKeyset makes a keyset's file with the command for it.
func freshKeyset(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyset.json")
	made := call(t, "", nil, "keys", "new").want(t, exitOK)
	if err := os.WriteFile(path, []byte(made.stdout), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func openKeyset(t *testing.T, path string) *secret.Box {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	box, err := secret.OpenBox(secret.New(strings.TrimSpace(string(raw))))
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	path := freshKeyset(t)
	env := map[string]string{"DIALTONE_KEYSET_FILE": path}
	before := openKeyset(t, path)
	first := strings.TrimSuffix(call(t, "", env, "keys", "show").want(t, exitOK).stdout, " primary\n")
	sealed, err := before.Seal([]byte("kept"), nil)
	if err != nil {
		t.Fatal(err)
	}

	second := strings.TrimSpace(call(t, "", env, "keys", "add").want(t, exitOK).stdout)
	if got, want := call(t, "", env, "keys", "show").want(t, exitOK).stdout, first+" primary\n"+second+"\n"; got != want {
		t.Errorf("after add, show says %q, want %q", got, want)
	}
	call(t, "", nil, "keys", "promote", "--offline", "--keyset-file", path, second).want(t, exitOK)
	if got, want := call(t, "", env, "keys", "show").want(t, exitOK).stdout, second+" primary\n"+first+"\n"; got != want {
		t.Errorf("after promote, show says %q, want %q", got, want)
	}
	if plain, err := openKeyset(t, path).Open(sealed, nil); err != nil || string(plain) != "kept" {
		t.Errorf("what the first key sealed opens as %q, %v", plain, err)
	}

	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o640 {
		t.Errorf("the file's mode is %o, want the old one, 640", info.Mode().Perm())
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("beside the keyset there is %v, %v", left, err)
	}
}

func TestKeysThroughALink(t *testing.T) {
	t.Parallel()
	path := freshKeyset(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	call(t, "", nil, "keys", "add", "--keyset-file", link).want(t, exitOK)
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is no link any more: %v, %v", info, err)
	}
	if _, all := openKeyset(t, path).KeyIDs(); len(all) != 2 {
		t.Errorf("the keyset has %d keys, want 2", len(all))
	}
}

func TestKeysSeal(t *testing.T) {
	t.Parallel()
	path := freshKeyset(t)
	got := call(t, "the-secret\n", nil, "keys", "seal", "--keyset-file", path, "MY-AK").want(t, exitOK).hides(t, "the-secret")
	sealed := strings.TrimSpace(got.stdout)
	if _, err := base64.StdEncoding.DecodeString(sealed); err != nil {
		t.Fatalf("%q is not Base64: %v", sealed, err)
	}
	file := filepath.Join(t.TempDir(), "auth.yaml")
	text := "access_keys:\n  - ak: MY-AK\n    secret_sealed: " + sealed + "\n    projects: [\"*\"]\n    roles: [drs_adm]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := auth.Load(file, openKeyset(t, path))
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.AccessKeys) != 1 || loaded.AccessKeys[0].Secret.Reveal() != "the-secret" {
		t.Error("the auth file does not open to the secret")
	}
}

func TestKeysMistakes(t *testing.T) {
	t.Parallel()
	path := freshKeyset(t)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, stdin string
		args        []string
		code        int
		want        string
	}{
		{"no file named", "", []string{"keys", "show"}, exitUsage, "keyset-file"},
		{"no such file", "", []string{"keys", "show", "--keyset-file", "/nowhere"}, exitUsage, "no such file"},
		{"no keyset", "", []string{"keys", "add", "--keyset-file", broken}, exitFailed, "not a Tink keyset"},
		{"unknown key", "", []string{"keys", "promote", "--offline", "--keyset-file", path, "1"}, exitFailed, "no enabled key 1"},
		{"unknown key to remove", "", []string{"keys", "remove", "--offline", "--keyset-file", path, "1"}, exitFailed, "no key 1"},
		{"promote without a store", "", []string{"keys", "promote", "--keyset-file", path, "1"}, exitUsage, "the store must be asked"},
		{"remove without a store", "", []string{"keys", "remove", "--keyset-file", path, "1"}, exitUsage, "the store must be asked"},
		{"reseal without a store", "", []string{"keys", "reseal", "--keyset-file", path}, exitUsage, "the store must be asked"},
		{"rotate without a store", "", []string{"keys", "rotate", "--keyset-file", path}, exitUsage, "the store must be asked"},
		{"no data directory", "", []string{"keys", "status", "--data", "/nowhere"}, exitUsage, "no such file"},
		{"no Postgres", "", []string{"keys", "reseal", "--keyset-file", path, "--postgres-dsn", "postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable"}, exitFailed, "cannot be reached"},
		{"no number", "", []string{"keys", "promote", "--keyset-file", path, "hunter2"}, exitUsage, ""},
		{"no secret", "", []string{"keys", "seal", "--keyset-file", path, "AK"}, exitUsage, "on one line"},
		{"two lines", "hunter2\nhunter2\n", []string{"keys", "seal", "--keyset-file", path, "AK"}, exitUsage, "on one line"},
		{"too long", strings.Repeat("hunter2", 1000), []string{"keys", "seal", "--keyset-file", path, "AK"}, exitUsage, "longer than"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := call(t, c.stdin, nil, c.args...).want(t, c.code).hides(t, "hunter2", strings.TrimSpace(string(raw)))
			if !strings.Contains(got.stderr, c.want) || got.stdout != "" {
				t.Errorf("stdout = %q, stderr = %q, want %q", got.stdout, got.stderr, c.want)
			}
		})
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(raw) {
		t.Error("a mistake has changed the keyset")
	}
}
