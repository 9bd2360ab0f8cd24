package secret

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

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
// what makes rotation in steps possible. It is safe for concurrent use, and so
// is Swap, which gives it another keyset.
type Box struct {
	now  atomic.Pointer[opened]
	mu   sync.Mutex
	past []*opened // swapped away, and perhaps still held
}

// opened is a keyset made ready; immutable but for the count of its holds.
type opened struct {
	aead    tink.AEAD
	primary uint32
	ids     []uint32
	held    atomic.Int64
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
	o := &opened{aead: cipher}
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
			o.primary = entry.KeyID()
		}
		o.ids = append(o.ids, entry.KeyID())
	}
	b := &Box{}
	b.now.Store(o)
	return b, nil
}

// Swap gives the Box the keyset of next at once for all who use it. What is
// being sealed under a Hold may still be sealed with the former primary key:
// see Sealing.
func (b *Box) Swap(next *Box) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.past = append(b.past, b.now.Swap(next.now.Load()))
}

// Hold says that the caller is about to seal something and to store it. It
// lasts until release is called, and goes before the first Seal.
func (b *Box) Hold() (release func()) {
	for {
		o := b.now.Load()
		o.held.Add(1)
		if o == b.now.Load() {
			return func() { o.held.Add(-1) }
		}
		o.held.Add(-1) // swapped meanwhile; Sealing may have missed it
	}
}

// Sealing lists the keys that something not yet stored may be sealed with: the
// primary key, and former ones as long as a Hold under them lasts.
func (b *Box) Sealing() []uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := []uint32{b.now.Load().primary}
	b.past = slices.DeleteFunc(b.past, func(o *opened) bool { return o.held.Load() == 0 })
	for _, o := range b.past {
		if !slices.Contains(ids, o.primary) {
			ids = append(ids, o.primary)
		}
	}
	return ids
}

// Seal encrypts plain and binds it to associated, which is not stored with it:
// only a call of Open with equal associated bytes succeeds. Bind to the row
// and column, so that a sealed value moved elsewhere is worthless.
func (b *Box) Seal(plain, associated []byte) ([]byte, error) {
	sealed, err := b.now.Load().aead.Encrypt(plain, associated)
	if err != nil {
		return nil, errors.New("seal data: the cipher refused it")
	}
	return sealed, nil
}

// Open returns what Seal was given, or ErrOpen.
func (b *Box) Open(sealed, associated []byte) ([]byte, error) {
	plain, err := b.now.Load().aead.Decrypt(sealed, associated)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// KeyIDs returns the id of the key that seals, and the ids of all keys that
// open, in keyset order (a key just added is last). Ids are not secret.
func (b *Box) KeyIDs() (primary uint32, all []uint32) {
	o := b.now.Load()
	return o.primary, slices.Clone(o.ids)
}

// Opens says whether the Box has the key.
func (b *Box) Opens(id uint32) bool { return slices.Contains(b.now.Load().ids, id) }

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

// SealedByHex is SealedBy of a prefix in hexadecimal digits, as a database
// gives it; 0, which is no key's id, for what Seal cannot have made.
func SealedByHex(prefix string) uint32 {
	raw, err := hex.DecodeString(prefix)
	if err != nil {
		return 0
	}
	id, _ := SealedBy(raw)
	return id
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
