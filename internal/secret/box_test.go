package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/secret"
)

func newKeyset(t *testing.T) secret.Text {
	t.Helper()
	keys, err := secret.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func openBox(t *testing.T, keys secret.Text) *secret.Box {
	t.Helper()
	box, err := secret.OpenBox(keys)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func seal(t *testing.T, box *secret.Box, plain, associated string) []byte {
	t.Helper()
	sealed, err := box.Seal([]byte(plain), []byte(associated))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestBoxOpensWhatItSealed(t *testing.T) {
	t.Parallel()
	box := openBox(t, newKeyset(t))
	for _, plain := range []string{"", "p", strings.Repeat("long", 5000)} {
		sealed := seal(t, box, plain, "test-1")
		if len(plain) > 1 && bytes.Contains(sealed, []byte(plain)) {
			t.Errorf("Seal(%d bytes) holds the plain text", len(plain))
		}
		got, err := box.Open(sealed, []byte("test-1"))
		if err != nil || string(got) != plain {
			t.Errorf("Open(Seal(%d bytes)) = %d bytes, %v", len(plain), len(got), err)
		}
	}
	if bytes.Equal(seal(t, box, "same", "a"), seal(t, box, "same", "a")) {
		t.Error("Seal twice gave equal bytes: the nonce repeats")
	}
}

func TestBoxRefuses(t *testing.T) {
	t.Parallel()
	box := openBox(t, newKeyset(t))
	sealed := seal(t, box, "password", "row-1")
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1
	for _, tc := range []struct {
		name       string
		box        *secret.Box
		sealed     []byte
		associated string
	}{
		{"another row", box, sealed, "row-2"},
		{"no associated data", box, sealed, ""},
		{"altered", box, altered, "row-1"},
		{"cut short", box, sealed[:len(sealed)-1], "row-1"},
		{"empty", box, nil, "row-1"},
		{"another keyset", openBox(t, newKeyset(t)), sealed, "row-1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			plain, err := tc.box.Open(tc.sealed, []byte(tc.associated))
			if !errors.Is(err, secret.ErrOpen) || plain != nil {
				t.Errorf("Open() = %q, %v, want ErrOpen", plain, err)
			}
		})
	}
}

func TestOpenBoxErrorShowsNoKey(t *testing.T) {
	t.Parallel()
	good := newKeyset(t).Reveal()
	var parsed struct {
		Key []struct {
			KeyData struct{ Value string }
		}
	}
	if err := json.Unmarshal([]byte(good), &parsed); err != nil {
		t.Fatal(err)
	}
	material := parsed.Key[0].KeyData.Value
	for _, tc := range []struct{ name, keys string }{
		{"empty", ""},
		{"not JSON", "MATERIAL " + material},
		{"cut", good[:len(good)-3]},
		{"wrong field type", strings.Replace(good, `"primaryKeyId":`, `"primaryKeyId":"`+material+`","x":`, 1)},
		{"unknown primary", strings.Replace(good, `"primaryKeyId":`, `"primaryKeyId":1,"x":`, 1)},
		{"disabled key", strings.Replace(good, "ENABLED", "DISABLED", 1)},
		{"unknown key type", strings.Replace(good, "XAesGcmKey", "NoSuchKey", 1)},
		{"not an AEAD", strings.Replace(good, "XAesGcmKey", "HmacKey", 1)},
		{"raw prefix", strings.Replace(good, `"TINK"`, `"RAW"`, 1)},
		{"broken key", strings.Replace(good, material, material[:8], 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			box, err := secret.OpenBox(secret.New(tc.keys))
			if err == nil {
				t.Fatalf("OpenBox() = %v, want an error", box)
			}
			if strings.Contains(err.Error(), material[:8]) {
				t.Errorf("OpenBox() error shows key material: %v", err)
			}
		})
	}
}

func TestBoxPrintsNoKey(t *testing.T) {
	t.Parallel()
	box := openBox(t, newKeyset(t))
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("opened", "box", box)
	asJSON, err := json.Marshal(map[string]any{"box": box})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		if got := fmt.Sprintf(verb, box); got != "secret.Box" {
			t.Errorf("Sprintf(%q) = %q", verb, got)
		}
	}
	if !strings.Contains(log.String(), `"box":"secret.Box"`) || string(asJSON) != `{"box":{}}` {
		t.Errorf("log = %s, JSON = %s", log.String(), asJSON)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	first := newKeyset(t)
	before := openBox(t, first)
	oldID, ids := before.KeyIDs()
	if diff := cmp.Diff([]uint32{oldID}, ids); diff != "" {
		t.Fatalf("KeyIDs() of a new keyset (-want +got):\n%s", diff)
	}
	old := seal(t, before, "password", "row")

	second, err := secret.AddKey(first)
	if err != nil {
		t.Fatal(err)
	}
	added := openBox(t, second)
	primary, ids := added.KeyIDs()
	if primary != oldID || len(ids) != 2 || ids[0] != oldID {
		t.Fatalf("KeyIDs() after AddKey = %d, %v, want %d still primary and first", primary, ids, oldID)
	}
	newID := ids[1]
	if _, err := before.Open(seal(t, added, "x", "row"), []byte("row")); err != nil {
		t.Errorf("after AddKey a process with the old keyset cannot open: %v", err)
	}

	third, err := secret.Promote(second, newID)
	if err != nil {
		t.Fatal(err)
	}
	promoted := openBox(t, third)
	fresh := seal(t, promoted, "password", "row")
	if id, ok := secret.SealedBy(fresh); id != newID || !ok {
		t.Errorf("SealedBy(fresh) = %d, %v, want %d", id, ok, newID)
	}
	if id, ok := secret.SealedBy(old); id != oldID || !ok {
		t.Errorf("SealedBy(old) = %d, %v, want %d", id, ok, oldID)
	}
	for name, box := range map[string]*secret.Box{"added": added, "promoted": promoted} {
		for _, sealed := range [][]byte{old, fresh} {
			if got, err := box.Open(sealed, []byte("row")); err != nil || string(got) != "password" {
				t.Errorf("%s.Open() = %q, %v", name, got, err)
			}
		}
	}
	if _, err := before.Open(fresh, []byte("row")); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("the old keyset opens what the new key sealed: %v", err)
	}

	fourth, err := secret.RemoveKey(third, oldID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openBox(t, fourth).Open(old, []byte("row")); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("a removed key still opens: %v", err)
	}
	if strings.Contains(fourth.Reveal(), "\n") {
		t.Error("a keyset spans lines")
	}
}

func TestRotationRefuses(t *testing.T) {
	t.Parallel()
	keys := newKeyset(t)
	id, _ := openBox(t, keys).KeyIDs()
	for name, step := range map[string]func() (secret.Text, error){
		"promote an unknown key": func() (secret.Text, error) { return secret.Promote(keys, id+1) },
		"remove an unknown key":  func() (secret.Text, error) { return secret.RemoveKey(keys, id+1) },
		"remove the primary key": func() (secret.Text, error) { return secret.RemoveKey(keys, id) },
		"add to nothing":         func() (secret.Text, error) { return secret.AddKey(secret.Text{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := step(); err == nil || got.IsSet() {
				t.Errorf("got a keyset (%v) and error %v, want an error only", got.IsSet(), err)
			}
		})
	}
}

func TestSealedByForeignBytes(t *testing.T) {
	t.Parallel()
	for _, sealed := range [][]byte{nil, {1, 2, 3}, []byte("\x00abcdefgh"), []byte("plain text")} {
		if id, ok := secret.SealedBy(sealed); ok {
			t.Errorf("SealedBy(%q) = %d, true", sealed, id)
		}
	}
}

// TestBoxSwap: a swap changes keys for all users at once, and the former
// primary key counts as in use until who sealed with it is done.
func TestBoxSwap(t *testing.T) {
	t.Parallel()
	keys := newKeyset(t)
	box := openBox(t, keys)
	first, _ := box.KeyIDs()
	sealed, err := box.Seal([]byte("kept"), nil)
	if err != nil {
		t.Fatal(err)
	}
	both, err := secret.AddKey(keys)
	if err != nil {
		t.Fatal(err)
	}
	_, all := openBox(t, both).KeyIDs()
	second := all[1]
	if both, err = secret.Promote(both, second); err != nil {
		t.Fatal(err)
	}
	release := box.Hold()
	box.Swap(openBox(t, both))
	if got := box.Sealing(); !slices.Equal(got, []uint32{second, first}) {
		t.Errorf("Sealing() = %v under a hold, want %v", got, []uint32{second, first})
	}
	later := box.Hold()
	release()
	if got := box.Sealing(); !slices.Equal(got, []uint32{second}) {
		t.Errorf("Sealing() = %v after it, want %v", got, []uint32{second})
	}
	later()
	if plain, err := box.Open(sealed, nil); err != nil || string(plain) != "kept" {
		t.Errorf("Open() = %q, %v", plain, err)
	}
	again, err := box.Seal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if by, ok := secret.SealedBy(again); !ok || by != second {
		t.Errorf("sealed by %d, %v; want %d", by, ok, second)
	}
	if !box.Opens(first) || box.Opens(first+second) {
		t.Error("Opens() does not tell its keys from others")
	}
}

// TestBoxSwapUnderLoad: whoever holds when a swap comes is seen by Sealing,
// however the two meet.
func TestBoxSwapUnderLoad(t *testing.T) {
	t.Parallel()
	keysets := []secret.Text{newKeyset(t), newKeyset(t)}
	box := openBox(t, keysets[0])
	stop := make(chan struct{})
	var sealing sync.WaitGroup
	var wrong atomic.Int64
	for range 4 {
		sealing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				release := box.Hold()
				sealed, err := box.Seal(nil, nil)
				by, ok := secret.SealedBy(sealed)
				if err != nil || !ok || !slices.Contains(box.Sealing(), by) {
					wrong.Add(1)
				}
				release()
			}
		})
	}
	for i := range 200 {
		box.Swap(openBox(t, keysets[i%2]))
	}
	close(stop)
	sealing.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d times something was sealed with a key that was not reported", n)
	}
}
