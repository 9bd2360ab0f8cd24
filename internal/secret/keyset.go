package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// A keyset is Tink's JSON on one line, in clear: whoever can read it can open
// everything, so it comes from a file or a secret store, never from a command
// line. Keys rotate in steps, each safe on its own: AddKey, then every process
// reloads, then Promote, then what the old key sealed is sealed again, then
// RemoveKey.

// NewKeyset makes a keyset with one fresh XAES-256-GCM key. Its nonces are long
// enough to be random without a limit on the number of seals.
func NewKeyset() (Text, error) {
	handle, err := keyset.NewHandle(aead.XAES256GCM192BitNonceKeyTemplate())
	if err != nil {
		return Text{}, errors.New("make keyset: no key could be generated")
	}
	return writeKeyset(handle)
}

// AddKey returns the keyset with one more fresh key, last in order and not
// primary: it opens, and seals nothing until Promote.
func AddKey(keys Text) (Text, error) {
	return editKeyset(keys, func(m *keyset.Manager) error {
		if _, err := m.Add(aead.XAES256GCM192BitNonceKeyTemplate()); err != nil {
			return errors.New("add key: no key could be generated")
		}
		return nil
	})
}

// Promote returns the keyset with key id as the one that seals. Every process
// must have the key already, or it cannot open what the others seal.
func Promote(keys Text, id uint32) (Text, error) {
	return editKeyset(keys, func(m *keyset.Manager) error {
		if m.SetPrimary(id) != nil {
			return fmt.Errorf("promote key: the keyset has no enabled key %d", id)
		}
		return nil
	})
}

// RemoveKey returns the keyset without key id. What that key sealed is lost,
// so everything must have been sealed again first. The primary key stays.
func RemoveKey(keys Text, id uint32) (Text, error) {
	return editKeyset(keys, func(m *keyset.Manager) error {
		if m.Delete(id) != nil {
			return fmt.Errorf("remove key: the keyset has no key %d, or it is the primary one", id)
		}
		return nil
	})
}

func editKeyset(keys Text, edit func(*keyset.Manager) error) (Text, error) {
	handle, err := readKeyset(keys)
	if err != nil {
		return Text{}, err
	}
	manager := keyset.NewManagerFromHandle(handle)
	if err := edit(manager); err != nil {
		return Text{}, err
	}
	changed, err := manager.Handle()
	if err != nil {
		return Text{}, errors.New("edit keyset: the result is not a keyset")
	}
	return writeKeyset(changed)
}

func readKeyset(keys Text) (*keyset.Handle, error) {
	if !keys.IsSet() {
		return nil, errors.New("open keyset: it is empty")
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(keys.Reveal())))
	if err != nil {
		// Tink's parser may quote its input, and its input is the keys.
		return nil, errors.New("open keyset: it is not a Tink keyset in JSON")
	}
	if _, err := handle.Primary(); err != nil {
		return nil, errors.New("open keyset: it has no enabled primary key")
	}
	return handle, nil
}

func writeKeyset(handle *keyset.Handle) (Text, error) {
	var loose, line bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&loose)); err != nil {
		return Text{}, errors.New("write keyset: it cannot be serialised")
	}
	// One line fits an environment variable or a secret store's field.
	if err := json.Compact(&line, loose.Bytes()); err != nil {
		return Text{}, errors.New("write keyset: it cannot be serialised")
	}
	return New(line.String()), nil
}
