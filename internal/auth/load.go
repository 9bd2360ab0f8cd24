package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"dialtone/internal/secret"
)

// Bounds on what is read: a list of credentials, and one secret.
const (
	maxFile       = 8 << 20
	maxSecretFile = 64 << 10
)

// Load reads a File from YAML and the secrets that it points to. box opens
// sealed ones; it may be nil if there are none. The error is a *FileError with
// every fault at once, or says that path cannot be read; it shows no value
// from the file, and no path of a secret's file beyond what the file says.
func Load(path string, box *secret.Box) (*File, error) {
	text, err := readBounded(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read the list of credentials: %w", err)
	}
	root, err := parseYAML(text)
	if err != nil {
		return nil, fmt.Errorf("list of credentials %s: %w", path, err)
	}
	d := decoder{dir: filepath.Dir(path), box: box}
	f := d.file(root)
	f.build(&d.found)
	if err := d.found.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// SealSecret seals the secret of an access key for the secret_sealed field. It
// is bound to the key's id: moved to another entry it does not open.
func SealSecret(box *secret.Box, accessKeyID string, sk secret.Text) (string, error) {
	sealed, err := box.Seal([]byte(sk.Reveal()), sealedFor(accessKeyID))
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

func sealedFor(accessKeyID string) []byte { return []byte("auth/access_key/" + accessKeyID) }

// decoder turns YAML nodes into a File, noting each fault with its path.
type decoder struct {
	dir   string
	box   *secret.Box
	found problems
}

func (d *decoder) file(root ast.Node) *File {
	var f File
	d.fields("", root, map[string]func(string, ast.Node){
		"tokens": func(path string, n ast.Node) {
			for i, item := range d.items(path, n) {
				f.Tokens = append(f.Tokens, d.token(fmt.Sprintf("%s[%d]", path, i), item))
			}
		},
		"access_keys": func(path string, n ast.Node) {
			for i, item := range d.items(path, n) {
				f.AccessKeys = append(f.AccessKeys, d.accessKey(fmt.Sprintf("%s[%d]", path, i), item))
			}
		},
	})
	return &f
}

func (d *decoder) token(path string, n ast.Node) (t Token) {
	d.fields(path, n, map[string]func(string, ast.Node){
		"name":     d.text(&t.Name),
		"sha256":   d.text(&t.SHA256),
		"projects": d.texts(&t.Projects),
		"roles":    d.texts(&t.Roles),
		"expires":  d.time(&t.Expires),
	})
	return t
}

func (d *decoder) accessKey(path string, n ast.Node) (k AccessKey) {
	var sealed, file string
	d.fields(path, n, map[string]func(string, ast.Node){
		"ak":                    d.text(&k.ID),
		"secret_sealed":         d.text(&sealed),
		"secret_file":           d.text(&file),
		"security_token_sha256": d.text(&k.SecurityTokenSHA256),
		"projects":              d.texts(&k.Projects),
		"roles":                 d.texts(&k.Roles),
		"expires":               d.time(&k.Expires),
	})
	switch {
	case sealed != "" && file != "":
		d.found.add(path+".secret_file", "must not stand beside secret_sealed")
	case sealed != "":
		k.Secret = d.unseal(path+".secret_sealed", sealed, k.ID)
	case file != "":
		k.Secret = d.secretFile(path+".secret_file", file)
	case !d.found.seen[path+".secret_sealed"] && !d.found.seen[path+".secret_file"]:
		d.found.add(path+".secret_sealed", "or secret_file is missing")
	}
	// What went wrong is told above, in terms of the YAML.
	d.found.know(path + ".secret")
	return k
}

func (d *decoder) unseal(path, text, accessKeyID string) secret.Text {
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		d.found.add(path, "is not base64")
		return secret.Text{}
	}
	if d.box == nil {
		d.found.add(path, "cannot be opened: no keyset is configured")
		return secret.Text{}
	}
	plain, err := d.box.Open(sealed, sealedFor(accessKeyID))
	if err != nil || len(plain) == 0 {
		d.found.add(path, "cannot be opened: it was sealed with another keyset, for another ak, or altered")
		return secret.Text{}
	}
	return secret.New(string(plain))
}

func (d *decoder) secretFile(path, name string) secret.Text {
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.dir, name)
	}
	text, err := readBounded(name, maxSecretFile)
	if err != nil {
		d.found.add(path, "cannot be read: "+cause(err))
		return secret.Text{}
	}
	sk := strings.TrimRight(string(text), "\r\n")
	if sk == "" || strings.ContainsAny(sk, "\r\n") {
		d.found.add(path, "must hold the secret on one line and nothing else")
		return secret.Text{}
	}
	return secret.New(sk)
}

// cause leaves the path out of a file error: whoever wrote the secret itself
// in place of the path must not read it in the log.
func cause(err error) string {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}

func (d *decoder) time(to *time.Time) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		text, ok := scalar(n)
		if !ok {
			d.found.add(path, "must be a time")
			return
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			d.found.add(path, "must be a time such as 2030-01-31T23:59:59Z")
			return
		}
		*to = t
	}
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, errors.New("file is too large")
	}
	return text, nil
}
