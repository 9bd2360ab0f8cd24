package auth_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/auth"
	"dialtone/internal/secret"
)

func write(tb testing.TB, dir, name, text string) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func newBox(tb testing.TB) *secret.Box {
	tb.Helper()
	keys, err := secret.NewKeyset()
	if err != nil {
		tb.Fatal(err)
	}
	box, err := secret.OpenBox(keys)
	if err != nil {
		tb.Fatal(err)
	}
	return box
}

func sealFor(tb testing.TB, box *secret.Box, ak, sk string) string {
	tb.Helper()
	sealed, err := auth.SealSecret(box, ak, secret.New(sk))
	if err != nil {
		tb.Fatal(err)
	}
	return sealed
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir, box := t.TempDir(), newBox(t)
	write(t, dir, "sk", "sk-from-file\n")
	absolute := write(t, t.TempDir(), "sk2", "sk-from-elsewhere")
	hash := auth.HashToken(secret.New("token"))
	path := write(t, dir, "auth.yaml", fmt.Sprintf(`
# who may call
tokens:
  - name: ci
    sha256: %s
    projects: [054ba152d480d55b2f5dc0069e7ddef0, 0123456789, 1e5]
    roles:
      - drs_adm
      - reader
    expires: 2030-01-31T23:59:59+01:00
access_keys:
  - ak: AKSEALED
    secret_sealed: "%s"
    projects: ["*"]
    roles: [drs_adm]
    expires:
  - ak: AKFILE
    secret_file: sk
    security_token_sha256: %s
    projects: [p1]
    roles: [drs_adm]
  - {ak: AKABSOLUTE, secret_file: %q, projects: [p1], roles: [drs_adm]}
`, hash, sealFor(t, box, "AKSEALED", "sk-sealed"), strings.ToUpper(hash), absolute))
	got, err := auth.Load(path, box)
	if err != nil {
		t.Fatal(err)
	}
	want := &auth.File{
		Tokens: []auth.Token{{
			Name: "ci", SHA256: hash, Projects: []string{"054ba152d480d55b2f5dc0069e7ddef0", "0123456789", "1e5"},
			Roles: []string{"drs_adm", "reader"}, Expires: time.Date(2030, 1, 31, 22, 59, 59, 0, time.UTC),
		}},
		AccessKeys: []auth.AccessKey{
			{ID: "AKSEALED", Secret: secret.New("sk-sealed"), Projects: []string{"*"}, Roles: []string{"drs_adm"}},
			{ID: "AKFILE", Secret: secret.New("sk-from-file"), SecurityTokenSHA256: strings.ToUpper(hash), Projects: []string{"p1"}, Roles: []string{"drs_adm"}},
			{ID: "AKABSOLUTE", Secret: secret.New("sk-from-elsewhere"), Projects: []string{"p1"}, Roles: []string{"drs_adm"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Load() (-want +got):\n%s", diff)
	}
	if _, err := auth.New(auth.Config{File: got}); err != nil {
		t.Errorf("New(loaded) error = %v", err)
	}
}

func TestLoadReportsEveryFault(t *testing.T) {
	t.Parallel()
	dir, box := t.TempDir(), newBox(t)
	write(t, dir, "two-lines", "SECRETONE\nSECRETTWO\n")
	hash := auth.HashToken(secret.New("token"))
	path := write(t, dir, "auth.yaml", fmt.Sprintf(`
tokens:
  - name: ci
    sha256: %[1]s
    projects: [p1]
    roles: [r]
  - name: ci
    sha256: %[1]s
    projects: []
    roles: r
    expires: tomorrow SECRET
  - sha256: SECRETHASH
    projects: ["a b", {SECRET: 1}]
    roles: [""]
    sah256: SECRET
    SECRETKEY: x
    name: [SECRET]
  - SECRET
  - name: empty
    name: again
    sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    projects: [p1]
    roles: [r]
access_keys:
  - ak: A/B
    secret_sealed: SECRET!
    projects: [p1]
    roles: [r]
  - ak: AK1
    secret_sealed: "%[2]s"
    projects: [p1]
    roles: [r]
  - ak: AK1
    secret_file: SECRETFILE
    secret_sealed: "%[2]s"
    projects: [p1]
    roles: [r]
  - ak: AK2
    secret_file: SECRETFILE
    projects: [p1]
    roles: [r]
  - ak: AK3
    secret_file: two-lines
    security_token_sha256: SECRET
    projects: [p1]
    roles: [r]
  - ak: AK4
    secret_env: SECRETENV
    projects: [p1]
    roles: [r]
`, hash, sealFor(t, box, "ANOTHER", "sk")))
	_, err := auth.Load(path, box)
	var faults *auth.FileError
	if !errors.As(err, &faults) {
		t.Fatalf("Load() error = %v, want a FileError", err)
	}
	got := map[string]string{}
	for _, p := range faults.Problems {
		if _, twice := got[p.Path]; twice {
			t.Errorf("%s is reported twice", p.Path)
		}
		got[p.Path] = p.Text
	}
	want := map[string]string{
		"tokens[1].name":                       "is the same as that of tokens[0]",
		"tokens[1].sha256":                     "is the same as that of the token named ci",
		"tokens[1].projects":                   "needs at least one project id, or *",
		"tokens[1].roles":                      "must be a list",
		"tokens[1].expires":                    "must be a time such as 2030-01-31T23:59:59Z",
		"tokens[2]":                            "has an unknown key in line 16",
		"tokens[2].name":                       "must be a text",
		"tokens[2].sha256":                     "must be 64 hexadecimal digits, the SHA-256 of the token",
		"tokens[2].sah256":                     "is not a known key",
		"tokens[2].projects[0]":                "must be 1 to 128 characters, without blanks, slashes or control characters",
		"tokens[2].projects[1]":                "must be a text",
		"tokens[2].roles[0]":                   "must be 1 to 128 characters, without blanks, slashes or control characters",
		"tokens[3]":                            "must be a mapping",
		"tokens[3].name":                       "is missing",
		"tokens[3].sha256":                     "is missing",
		"tokens[3].projects":                   "needs at least one project id, or *",
		"tokens[3].roles":                      "needs at least one role",
		"tokens[4].name":                       "is given twice",
		"tokens[4].sha256":                     "is the hash of an empty token",
		"access_keys[0].ak":                    "must be at most 128 letters, digits and any of - _ .",
		"access_keys[0].secret_sealed":         "is not base64",
		"access_keys[1].secret_sealed":         "cannot be opened: it was sealed with another keyset, for another ak, or altered",
		"access_keys[2].ak":                    "is listed twice",
		"access_keys[2].secret_file":           "must not stand beside secret_sealed",
		"access_keys[3].secret_file":           "cannot be read: no such file or directory",
		"access_keys[4].secret_file":           "must hold the secret on one line and nothing else",
		"access_keys[4].security_token_sha256": "must be 64 hexadecimal digits, the SHA-256 of the token",
		"access_keys[5].secret_env":            "is not a known key",
		"access_keys[5].secret_sealed":         "or secret_file is missing",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Load() problems (-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), "SECRET") {
		t.Errorf("Load() error shows values: %v", err)
	}
}

func TestLoadRefusesTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tc := range []struct{ name, text, want string }{
		{"not YAML", "tokens: [SECRET\n  - x: {", "not valid YAML"},
		{"tab", "tokens:\n\t- SECRET", "not valid YAML"},
		{"list at the top", "- SECRET", "must be a mapping"},
		{"text at the top", "SECRET", "must be a mapping"},
		{"two documents", "tokens: []\n---\ntokens: []\n", "more than one"},
		{"unknown section", "token: []\n", "token: is not a known key"},
		{"alias", "tokens: &SECRET []\naccess_keys: *SECRET\n", "must be a list"},
		{"section twice", "tokens: []\ntokens: []\n", "tokens: is given twice"},
		{"sealed without a box", "access_keys: [{ak: A, secret_sealed: U0VDUkVU, projects: [p], roles: [r]}]", "no keyset is configured"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := auth.Load(write(t, dir, strings.ReplaceAll(tc.name, " ", "_"), tc.text), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("Load() error = %v, want %q and no value", err, tc.want)
			}
		})
	}
	if _, err := auth.Load(filepath.Join(dir, "missing"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load(missing) error = %v", err)
	}
	if f, err := auth.Load(write(t, dir, "empty", ""), nil); err != nil || len(f.Tokens)+len(f.AccessKeys) != 0 {
		t.Errorf("Load(empty) = %+v, %v", f, err)
	}
}

// Whatever the file holds, loading it ends in a list or an error, and what is
// accepted is accepted by New too.
func FuzzLoad(f *testing.F) {
	f.Add("tokens: [{name: a, sha256: " + auth.HashToken(secret.New("t")) + ", projects: [p], roles: [r]}]")
	f.Add("tokens:\n  - name: a\n    sha256: |\n      x\n")
	f.Add("access_keys: [{ak: !!str A, secret_file: /dev/null, projects: {a: b}, ? x}]")
	f.Add("&a a: *a\n<<: {}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "secret_file") && strings.Contains(text, "/") {
			return // it could name a device
		}
		file, err := auth.Load(write(t, t.TempDir(), "auth.yaml", text), nil)
		if err != nil {
			return
		}
		if _, err := auth.New(auth.Config{File: file}); err != nil {
			t.Errorf("New() refuses what Load() took: %v", err)
		}
	})
}
