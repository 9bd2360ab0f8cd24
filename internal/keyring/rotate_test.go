package keyring_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/keyring"
	"dialtone/internal/secret"
	"dialtone/internal/store/sqlite"
)

// live runs a process's Keeper on a keyset file until the test ends.
func (p *place) live(name string, file keyring.File) (*secret.Box, *sqlite.Store, *syncBuffer, <-chan error) {
	p.t.Helper()
	s, box := p.open()
	log, text := newLog()
	k := keyring.NewKeeper(log, s, box, p.keys(), keyring.KeeperConfig{
		Process: name, File: file, Look: 5 * time.Millisecond, Heartbeat: 5 * time.Millisecond,
	})
	p.ok(k.Start(p.t.Context()))
	ctx, stop := context.WithCancel(p.t.Context())
	ended := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { ended <- k.Run(ctx) })
	p.t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return box, s, text, ended
}

// TestRotate: with two processes, one of which gets the keyset late, because it
// is on another machine.
func TestRotate(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, id := range []string{"j1", "j2", "j3"} {
		p.seal(id)
	}
	elsewhere := keyring.File(filepath.Join(t.TempDir(), "keyset.json"))
	distribute := func() { p.ok(os.WriteFile(string(elsewhere), []byte(p.keys().Reveal()), 0o600)) }
	distribute()
	_, _, _, one := p.live("api-1", p.file)
	_, _, _, two := p.live("worker-1", elsewhere)

	interrupted := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		r, _ := p.rotation()
		if err := r.Rotate(ctx, keyring.Rotate{Remove: true}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) {
			t.Fatalf("Rotate() = %v, want to wait because %q", err, want)
		}
	}
	interrupted("worker-1 does not have key")
	_, all := p.box().KeyIDs()
	if len(all) != 2 {
		t.Fatalf("keys %v, want one more", all)
	}
	second := all[1]
	interrupted("worker-1 does not have key")
	distribute()
	interrupted("worker-1 still seals with key")
	if primary, all := p.box().KeyIDs(); primary != second || len(all) != 2 {
		t.Errorf("primary key %d of %v: an interrupted rotation goes on with its own key, %d", primary, all, second)
	}
	distribute()
	interrupted("worker-1 still has key")
	distribute()
	r, s := p.rotation()
	p.ok(r.Rotate(t.Context(), keyring.Rotate{Remove: true}))
	if _, all := p.box().KeyIDs(); !slices.Equal(all, []uint32{second}) {
		t.Errorf("the keyset has %v, want %d alone", all, second)
	}
	census, err := s.CountSealed(t.Context())
	p.ok(err)
	if got := census.Keys(); !slices.Equal(got, []uint32{second}) {
		t.Errorf("sealed with %v, want %d alone", got, second)
	}
	for _, id := range []string{"j1", "j2", "j3"} {
		p.opens(id)
	}
	if marks, err := s.KeyMarks(t.Context()); err != nil || len(marks) != 1 || marks[p.first] != keyring.Retired {
		t.Errorf("marks %v, %v; want the first key retired", marks, err)
	}
	// The next one is a rotation of its own.
	again, _ := p.rotation()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_ = again.Rotate(ctx, keyring.Rotate{}) // waits for who is elsewhere
	if _, all := p.box().KeyIDs(); len(all) != 2 {
		t.Errorf("the next rotation has keys %v, want two", all)
	}
	for _, ended := range []<-chan error{one, two} {
		select {
		case err := <-ended:
			t.Errorf("a process ended: %v", err)
		default:
		}
	}
	if said := strings.Join(p.said, "\n"); !strings.Contains(said, "the rotation to key") || !strings.Contains(said, "3 in jobs") || !strings.Contains(said, "is finished") {
		t.Errorf("said:\n%s", said)
	}
}

func TestRotateElsewhereIsUnderWay(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r, s := p.rotation()
	p.ok(s.MarkKey(t.Context(), p.first+1, keyring.Rotating))
	var refusal *keyring.RefusedError
	if err := r.Rotate(t.Context(), keyring.Rotate{}); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "is under way, which this file does not have") {
		t.Errorf("Rotate() = %v", err)
	}
	if _, all := p.box().KeyIDs(); len(all) != 1 {
		t.Errorf("it has added a key all the same: %v", all)
	}
}

func TestKeeperKeepsTheOldKeyset(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	good := p.keys()
	foreign, err := secret.NewKeyset()
	p.ok(err)
	box, _, log, ended := p.live("api-1", p.file)
	for name, text := range map[string]string{
		"not a Tink keyset": "hunter2", "empty": "", "filled under another keyset": foreign.Reveal(),
	} {
		p.ok(os.WriteFile(string(p.file), []byte(text), 0o600))
		eventually(t, name, func() bool { return strings.Contains(log.String(), name) })
	}
	p.ok(os.Remove(string(p.file)))
	eventually(t, "it is gone", func() bool { return strings.Contains(log.String(), "no such file") })
	if primary, _ := box.KeyIDs(); primary != p.first {
		t.Errorf("the primary key is %d, want the old one, %d", primary, p.first)
	}
	for _, no := range []string{"hunter2", foreign.Reveal(), good.Reveal()} {
		if strings.Contains(log.String(), no) {
			t.Error("the log shows a keyset")
		}
	}
	changed, err := secret.AddKey(good)
	p.ok(err)
	p.ok(os.WriteFile(string(p.file), []byte(changed.Reveal()), 0o600))
	eventually(t, "a good one is taken", func() bool {
		_, all := box.KeyIDs()
		return len(all) == 2 && strings.Contains(log.String(), "keyset read again")
	})
	if n := strings.Count(log.String(), "no such file"); n != 1 {
		t.Errorf("the missing file was told %d times", n)
	}
	select {
	case err := <-ended:
		t.Errorf("the process ended: %v", err)
	default:
	}
}

// TestKeeperEnds: a process whose keys do not fit the store any more ends, and
// one whose file has been changed in time does not.
func TestKeeperEnds(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	stale := keyring.File(filepath.Join(t.TempDir(), "keyset.json"))
	p.ok(os.WriteFile(string(stale), []byte(p.keys().Reveal()), 0o600))
	_, s, _, ended := p.live("stale", stale)
	eventually(t, "it is known", func() bool {
		all, err := s.KeyHolders(t.Context())
		return err == nil && len(all) == 1
	})
	// Without the store's leave: as if the process had been cut off.
	id, err := p.file.Add()
	p.ok(err)
	p.ok(p.file.Edit(func(keys secret.Text) (secret.Text, error) { return secret.Promote(keys, id) }))
	mine, _ := p.open()
	p.ok(mine.SealFence(t.Context()))
	select {
	case err := <-ended:
		if !errors.Is(err, secret.ErrOpen) || !strings.Contains(err.Error(), "DIALTONE_KEYSET") {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a process without the key goes on")
	}
	all, err := s.KeyHolders(t.Context())
	if err != nil || len(all) != 0 {
		t.Errorf("it is still known: %v, %v", all, err)
	}
}

// away is a store that cannot be asked.
type away struct{ keyring.KeeperStore }

func (away) ReportKeys(context.Context, keyring.Holder) error { return errors.New("away") }

func TestKeeperStarts(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	s, box := p.open()
	log, text := newLog()
	cfg := keyring.KeeperConfig{Process: "api-1"}
	k := keyring.NewKeeper(log, away{s}, box, p.keys(), cfg)
	if err := k.Start(t.Context()); err != nil || k.Ready(t.Context()) == nil {
		t.Errorf("without the store: Start() = %v, Ready() = %v; want nil and not ready", err, k.Ready(t.Context()))
	}
	k.Hangup(t.Context())
	if !strings.Contains(text.String(), "cannot be read again") {
		t.Errorf("a hangup says nothing of a keyset in a variable: %s", text.String())
	}
	k = keyring.NewKeeper(log, s, box, p.keys(), cfg)
	if err := k.Start(t.Context()); err != nil || k.Ready(t.Context()) != nil {
		t.Errorf("Start() = %v, Ready() = %v", err, k.Ready(t.Context()))
	}
	foreign, err := secret.NewKeyset()
	p.ok(err)
	wrong, err := secret.OpenBox(foreign)
	p.ok(err)
	k = keyring.NewKeeper(log, s, wrong, foreign, cfg)
	if err := k.Start(t.Context()); !errors.Is(err, secret.ErrOpen) || k.Ready(t.Context()) == nil {
		t.Errorf("another keyset: Start() = %v, Ready() = %v", err, k.Ready(t.Context()))
	}
}
