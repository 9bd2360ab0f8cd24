package auth_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dialtone/internal/auth"
	"dialtone/internal/secret"
)

// TestReseal: only the sealed secrets change, and the old key is then not needed.
func TestReseal(t *testing.T) {
	t.Parallel()
	keys, err := secret.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	box := mustOpen(t, keys)
	first, _ := box.KeyIDs()
	dir := t.TempDir()
	path := filepath.Join(dir, "auth.yaml")
	text := `# the callers
tokens:
  - {name: one, sha256: "` + auth.HashToken(secret.New("a-token")) + `", projects: ["*"], roles: [drs_adm]}
access_keys:
  - ak: AK1
    secret_sealed: ` + sealFor(t, box, "AK1", "sk-1") + ` # kept
    projects: ["*"]
    roles: [drs_adm]
  - {ak: AK2, secret_sealed: "` + sealFor(t, box, "AK2", "sk-2") + `", projects: ["*"], roles: [drs_adm]}
`
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	if keys, err = secret.AddKey(keys); err != nil {
		t.Fatal(err)
	}
	_, all := mustOpen(t, keys).KeyIDs()
	if keys, err = secret.Promote(keys, all[1]); err != nil {
		t.Fatal(err)
	}
	box = mustOpen(t, keys)
	if got, err := auth.SealedWith(path); err != nil || !slices.Equal(got, []uint32{first}) {
		t.Errorf("SealedWith() = %v, %v; want %d", got, err, first)
	}
	for _, want := range []int{2, 0} {
		if n, err := auth.Reseal(path, box); err != nil || n != want {
			t.Fatalf("Reseal() = %d, %v; want %d", n, err, want)
		}
	}
	if got, err := auth.SealedWith(path); err != nil || !slices.Equal(got, []uint32{all[1]}) {
		t.Errorf("SealedWith() = %v, %v; want %d", got, err, all[1])
	}
	if keys, err = secret.RemoveKey(keys, first); err != nil {
		t.Fatal(err)
	}
	f, err := auth.Load(path, mustOpen(t, keys))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Tokens) != 1 || len(f.AccessKeys) != 2 || f.AccessKeys[0].Secret.Reveal() != "sk-1" || f.AccessKeys[1].Secret.Reveal() != "sk-2" {
		t.Error("the list has lost something")
	}
	after, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(after), "# the callers") || !strings.Contains(string(after), " # kept") {
		t.Errorf("the comments are gone: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("beside the list there is %v, %v", left, err)
	}

	// Under a foreign keyset nothing is written.
	if n, err := auth.Reseal(path, newBox(t)); err == nil || n != 0 || !strings.Contains(err.Error(), "the secret of AK1") {
		t.Errorf("Reseal() under other keys = %d, %v", n, err)
	}
	if same, err := os.ReadFile(path); err != nil || string(same) != string(after) {
		t.Error("and it has changed the list")
	}
}

func mustOpen(t *testing.T, keys secret.Text) *secret.Box {
	t.Helper()
	box, err := secret.OpenBox(keys)
	if err != nil {
		t.Fatal(err)
	}
	return box
}
