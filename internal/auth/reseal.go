package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"dialtone/internal/secret"
)

// sealedSecret is a secret_sealed as the file has it.
type sealedSecret struct{ accessKeyID, text string }

func (s sealedSecret) by() (uint32, bool) {
	raw, err := base64.StdEncoding.DecodeString(s.text)
	if err != nil {
		return 0, false
	}
	return secret.SealedBy(raw)
}

// sealedSecrets finds them in a file's text, whatever else is wrong with it.
func sealedSecrets(text []byte) ([]sealedSecret, error) {
	root, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	var d decoder
	var all []sealedSecret
	ignore := func(string, ast.Node) {}
	d.fields("", root, map[string]func(string, ast.Node){"tokens": ignore, "access_keys": func(path string, n ast.Node) {
		for _, item := range d.items(path, n) {
			var s sealedSecret
			d.fields(path, item, map[string]func(string, ast.Node){
				"ak": d.text(&s.accessKeyID), "secret_sealed": d.text(&s.text), "secret_file": ignore,
				"security_token_sha256": ignore, "projects": ignore, "roles": ignore, "expires": ignore,
			})
			if s.text != "" {
				all = append(all, s)
			}
		}
	}})
	return all, nil
}

// SealedWith lists the keys that secrets of the file at path are sealed with.
func SealedWith(path string) ([]uint32, error) {
	text, err := readBounded(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read the list of credentials: %w", err)
	}
	all, err := sealedSecrets(text)
	if err != nil {
		return nil, fmt.Errorf("list of credentials %s: %w", path, err)
	}
	var ids []uint32
	for _, s := range all {
		if id, ok := s.by(); ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Reseal seals with the primary key of box those secrets of the file at path
// that are not, and says how many. The rest of the file stays as it is written.
func Reseal(path string, box *secret.Box) (renewed int, err error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return 0, errors.New("reseal the list of credentials: " + cause(err))
	}
	text, err := readBounded(target, maxFile)
	if err != nil {
		return 0, errors.New("reseal the list of credentials: " + cause(err))
	}
	all, err := sealedSecrets(text)
	if err != nil {
		return 0, fmt.Errorf("reseal the list of credentials: %w", err)
	}
	primary, _ := box.KeyIDs()
	changed := string(text)
	for _, s := range all {
		if id, ok := s.by(); ok && id == primary {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(s.text)
		if err != nil {
			return 0, fmt.Errorf("reseal the list of credentials: the secret of %s is not base64", s.accessKeyID)
		}
		plain, err := box.Open(raw, sealedFor(s.accessKeyID))
		if err != nil {
			return 0, fmt.Errorf("reseal the list of credentials: the secret of %s: %w", s.accessKeyID, err)
		}
		anew, err := SealSecret(box, s.accessKeyID, secret.New(string(plain)))
		if err != nil {
			return 0, err
		}
		if strings.Count(changed, s.text) != 1 {
			return 0, fmt.Errorf("reseal the list of credentials: the secret of %s is not written on one line, once: seal it by hand", s.accessKeyID)
		}
		changed = strings.Replace(changed, s.text, anew, 1)
		renewed++
	}
	if renewed == 0 {
		return 0, nil
	}
	if err := secret.ReplaceFile(target, secret.New(changed)); err != nil {
		return 0, fmt.Errorf("replace the list of credentials: %w", err)
	}
	return renewed, nil
}
