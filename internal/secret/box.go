package secret

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrOpen means that sealed bytes could not be opened: altered, cut short,
// sealed for another associated value, or by a key that the Box lacks. Which
// of them it was cannot be told, by design of the cipher.
var ErrOpen = errors.New("open sealed data: altered, meant for another place, or sealed by an unknown key")

// Box seals bytes so that they can be stored, and opens them again. It seals
// with the primary key of its keyset and opens with any enabled key, which is
// what makes rotation in steps possible. A Box is immutable and safe for
// concurrent use; to take up a changed keyset, open a new Box and swap them.
type Box struct {
	aead    tink.AEAD
	primary uint32
	ids     []uint32
}

// OpenBox reads a keyset as NewKeyset, AddKey and Promote write it. Its error
// says what kind of fault the keyset has and never shows any of its text.
func OpenBox(keys Text) (*Box, error) {
	handle, err := readKeyset(keys)
	if err != nil {
		return nil, err
	}
	cipher, err := aead.New(handle)
	if err != nil {
		// Tink's text may describe key material; the kind of fault is enough.
		return nil, errors.New("open keyset: its keys are not for authenticated encryption")
	}
	b := &Box{aead: cipher}
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, errors.New("open keyset: unreadable entry")
		}
		if entry.KeyStatus() != keyset.Enabled {
			continue
		}
		if _, named := entry.Key().IDRequirement(); !named {
			// Without its id in front of the ciphertext nobody could tell
			// which rows still wait to be sealed again.
			return nil, fmt.Errorf("open keyset: key %d leaves no id in what it seals", entry.KeyID())
		}
		if entry.IsPrimary() {
			b.primary = entry.KeyID()
		}
		b.ids = append(b.ids, entry.KeyID())
	}
	return b, nil
}

// Seal encrypts plain and binds it to associated, which is not stored with it:
// only a call of Open with equal associated bytes succeeds. Bind to the row
// and column, so that a sealed value moved elsewhere is worthless.
func (b *Box) Seal(plain, associated []byte) ([]byte, error) {
	sealed, err := b.aead.Encrypt(plain, associated)
	if err != nil {
		return nil, errors.New("seal data: the cipher refused it")
	}
	return sealed, nil
}

// Open returns what Seal was given, or ErrOpen.
func (b *Box) Open(sealed, associated []byte) ([]byte, error) {
	plain, err := b.aead.Decrypt(sealed, associated)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// KeyIDs returns the id of the key that seals, and the ids of all keys that
// open, in keyset order (a key just added is last). Ids are not secret.
func (b *Box) KeyIDs() (primary uint32, all []uint32) {
	return b.primary, append([]uint32(nil), b.ids...)
}

// SealedBy returns the id of the key that sealed the bytes. It reads the
// clear prefix only and proves nothing; it is how rows that an old key sealed
// are found. It is false for bytes that Seal cannot have made.
func SealedBy(sealed []byte) (id uint32, ok bool) {
	const tinkPrefix = 1
	if len(sealed) < 5 || sealed[0] != tinkPrefix {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:5]), true
}

// String says what it is and shows no key.
func (b *Box) String() string { return "secret.Box" }

// GoString redacts %#v.
func (b *Box) GoString() string { return "secret.Box" }

// Format redacts every verb: without it %+v would walk into the cipher and
// print key bytes.
func (b *Box) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "secret.Box") }

// LogValue redacts structured logs.
func (b *Box) LogValue() slog.Value { return slog.StringValue("secret.Box") }
