package keyring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/job"
	"dialtone/internal/keyring"
	"dialtone/internal/secret"
	"dialtone/internal/store/sqlite"
)

// place is a keyset's file and a store that is sealed with it.
type place struct {
	t     *testing.T
	file  keyring.File
	path  string
	first uint32
	said  []string
	done  []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir := t.TempDir()
	p := &place{t: t, file: keyring.File(filepath.Join(dir, "keyset.json")), path: filepath.Join(dir, "dialtone.db")}
	keys, err := secret.NewKeyset()
	p.ok(err)
	p.ok(os.WriteFile(string(p.file), []byte(keys.Reveal()+"\n"), 0o600))
	p.first, _ = p.box().KeyIDs()
	s, _ := p.open()
	p.ok(s.Migrate(t.Context()))
	p.ok(s.CheckKeys(t.Context()))
	return p
}

func (p *place) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) keys() secret.Text {
	p.t.Helper()
	keys, err := p.file.Read()
	p.ok(err)
	return keys
}

func (p *place) box() *secret.Box {
	p.t.Helper()
	box, err := secret.OpenBox(p.keys())
	p.ok(err)
	return box
}

// open opens the store with what the file holds now, as a process that starts.
func (p *place) open() (*sqlite.Store, *secret.Box) {
	p.t.Helper()
	box := p.box()
	s, err := sqlite.Open(p.t.Context(), sqlite.Config{Path: p.path, Box: box})
	p.ok(err)
	p.t.Cleanup(func() { _ = s.Close() })
	return s, box
}

// rotation is what an operator's call makes.
func (p *place) rotation() (*keyring.Rotation, *sqlite.Store) {
	p.t.Helper()
	s, box := p.open()
	return keyring.NewRotation(s, box, p.file, keyring.RotationConfig{
		Poll: time.Millisecond, Patience: 50 * time.Millisecond, Limit: 2,
		Say:  func(text string) { p.said = append(p.said, text) },
		Done: func(_ context.Context, operation string, _ uint32) { p.done = append(p.done, operation) },
	}), s
}

// seal stores a job that is sealed with the primary key of the file.
func (p *place) seal(id string) {
	p.t.Helper()
	s, _ := p.open()
	p.ok(s.CreateJobs(p.t.Context(), []job.Record{{
		Job: job.Job{ID: id, Project: "p", Status: job.Configuration, Role: job.Standalone}, Endpoints: json.RawMessage(`{"id":"` + id + `"}`),
	}}))
}

func (p *place) opens(id string) {
	p.t.Helper()
	s, _ := p.open()
	if got, err := s.JobEndpoints(p.t.Context(), "p", id); err != nil || string(got) != `{"id":"`+id+`"}` {
		p.t.Errorf("job %s: %d bytes, %v", id, len(got), err)
	}
}

// process is a process that has certain keys.
func (p *place) process(h keyring.Holder) {
	p.t.Helper()
	s, _ := p.open()
	p.ok(s.ReportKeys(p.t.Context(), h))
}

func holder(name string, primary uint32, more ...uint32) keyring.Holder {
	return keyring.Holder{Process: name, Primary: primary, Keys: append([]uint32{primary}, more...), Sealing: []uint32{primary}, Reloads: true}
}

// refused wants a step to be refused for a reason, and to change nothing.
func (p *place) refused(err error, before secret.Text, reasons ...string) {
	p.t.Helper()
	if _, refused := errors.AsType[*keyring.RefusedError](err); !refused {
		p.t.Fatalf("%v, want a refusal", err)
	}
	for _, reason := range reasons {
		if !strings.Contains(err.Error(), reason) {
			p.t.Errorf("refused with %q, want %q", err, reason)
		}
	}
	if !p.keys().Equal(before) {
		p.t.Error("a refused step has changed the keyset")
	}
	s, _ := p.open()
	if err := s.CheckKeys(p.t.Context()); err != nil {
		p.t.Errorf("a refused step has changed the store: %v", err)
	}
	if marks, err := s.KeyMarks(p.t.Context()); err != nil || len(marks) > 0 {
		p.t.Errorf("a refused step leaves %v, %v", marks, err)
	}
}

func (p *place) add() uint32 {
	p.t.Helper()
	r, _ := p.rotation()
	id, err := r.Add(p.t.Context())
	p.ok(err)
	return id
}

func TestPromoteWaitsForEverybody(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	second := p.add()
	before := p.keys()
	inline := holder("api-1", p.first)
	inline.Reloads = false
	p.process(inline)
	p.process(holder("worker-1", p.first))
	p.process(holder("worker-2", p.first, second))
	p.process(keyring.Holder{Process: "worker-0"})
	r, s := p.rotation()
	err := r.Promote(t.Context(), second)
	p.refused(err, before, "api-1 does not have key", "must be restarted", "worker-1 does not have key", "keyset file lacks it", "worker-0 does not report")
	if strings.Contains(err.Error(), "worker-2") {
		t.Errorf("%q blames a process that has the key", err)
	}
	for _, h := range []keyring.Holder{holder("api-1", p.first, second), holder("worker-1", p.first, second)} {
		p.process(h)
	}
	p.ok(s.WithdrawKeys(t.Context(), "worker-0"))
	p.ok(r.Promote(t.Context(), second))
	if primary, all := p.box().KeyIDs(); primary != second || len(all) != 2 {
		t.Errorf("primary key %d of %v, want %d", primary, all, second)
	}
	// Who comes without the key is told so, before it reads or seals anything.
	old, err := secret.OpenBox(before)
	p.ok(err)
	p.ok(s.CheckKeyset(t.Context(), old)) // it has the key, and has not reloaded
	alone, err := secret.RemoveKey(before, second)
	p.ok(err)
	lacking, err := secret.OpenBox(alone)
	p.ok(err)
	if err := s.CheckKeyset(t.Context(), lacking); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("a keyset without the promoted key: %v, want ErrOpen", err)
	}
	p.ok(r.Promote(t.Context(), second)) // once more: nothing to do
	if !slices.Equal(p.done, []string{"add", "promote", "promote"}) {
		t.Errorf("told of %v", p.done)
	}
}

// joins is a store on which a process without the key appears as soon as the
// fence is up: it has looked before that.
type joins struct {
	keyring.Store
	h keyring.Holder
}

func (j joins) SealFence(ctx context.Context) error {
	return errors.Join(j.Store.SealFence(ctx), j.ReportKeys(ctx, j.h))
}

func (j joins) MarkKey(ctx context.Context, id uint32, mark keyring.Mark) error {
	return errors.Join(j.Store.MarkKey(ctx, id, mark), j.ReportKeys(ctx, j.h))
}

func TestPromoteSeesWhoStartsMeanwhile(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	second := p.add()
	s, box := p.open()
	r := keyring.NewRotation(joins{s, holder("late", p.first)}, box, p.file, keyring.RotationConfig{})
	p.refused(r.Promote(t.Context(), second), p.keys(), "late does not have key")
}

func TestRemoveSeesWhoStartsMeanwhile(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	second := p.add()
	r, _ := p.rotation()
	p.ok(r.Promote(t.Context(), second))
	_, err := r.Reseal(t.Context())
	p.ok(err)
	s, box := p.open()
	late := keyring.NewRotation(joins{s, holder("late", p.first, second)}, box, p.file, keyring.RotationConfig{})
	p.refused(late.Remove(t.Context(), p.first), p.keys(), "late still seals with key")
}

func TestRemoveRefuses(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.seal("j1")
	p.seal("j2")
	second := p.add()
	r, s := p.rotation()
	before := p.keys()
	p.refused(r.Remove(t.Context(), p.first), before, "is the primary key")
	if err := r.Remove(t.Context(), p.first+second); err == nil {
		t.Error("a key that the keyset does not have was removed")
	}
	p.ok(r.Promote(t.Context(), second))
	before = p.keys()
	p.refused(r.Remove(t.Context(), p.first), before, "2 in jobs", "1 in ledgerkey", "reseal first")
	did, err := r.Reseal(t.Context())
	p.ok(err)
	if did.Resealed["jobs"] != 2 || did.Resealed["ledgerkey"] != 1 {
		t.Errorf("sealed again: %v", did.Resealed)
	}

	for name, h := range map[string]keyring.Holder{
		"still seals with key":                                 holder("api-1", p.first, second),
		"does not have key":                                    holder("api-1", p.first+second),
		"does not report its keys":                             {Process: "api-1"},
		"api-1 has a list of callers whose secrets are sealed": {Process: "api-1", Primary: second, Keys: []uint32{p.first, second}, Sealing: []uint32{second}, Needed: []uint32{p.first}},
		"api-1 still seals with key":                           {Process: "api-1", Primary: second, Keys: []uint32{p.first, second}, Sealing: []uint32{second, p.first}},
	} {
		p.process(h)
		p.refused(r.Remove(t.Context(), p.first), before, name)
	}
	p.process(holder("api-1", second, p.first))
	p.ok(r.Remove(t.Context(), p.first))
	if _, all := p.box().KeyIDs(); !slices.Equal(all, []uint32{second}) {
		t.Errorf("the keyset has %v, want %d alone", all, second)
	}
	p.opens("j1")
	p.opens("j2")

	// Nobody may seal with it again: not who starts, nor who promotes it.
	old, err := secret.OpenBox(before)
	p.ok(err)
	p.ok(s.CheckKeyset(t.Context(), old)) // that only opens with it
	back, err := secret.Promote(before, p.first)
	p.ok(err)
	p.ok(os.WriteFile(string(p.file), []byte(back.Reveal()), 0o600))
	if err := s.CheckKeyset(t.Context(), p.box()); !errors.Is(err, keyring.ErrRetired) {
		t.Errorf("a keyset with the removed key as primary: %v, want ErrRetired", err)
	}
	again, _ := p.rotation()
	var refusal *keyring.RefusedError
	if err := again.Promote(t.Context(), p.first); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "was removed from service") {
		t.Errorf("promote a removed key: %v", err)
	}
}

func TestResealRefuses(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.seal("j1")
	second := p.add()
	r, s := p.rotation()
	p.ok(r.Promote(t.Context(), second))
	p.process(holder("worker-1", p.first))
	before := p.keys()
	_, err := r.Reseal(t.Context())
	p.refused(err, before, "worker-1 does not have key")
	// One that has the key and has not promoted it: everything is sealed again,
	// and it is said that more may come.
	p.process(holder("worker-1", p.first, second))
	if did, err := r.Reseal(t.Context()); err == nil || !strings.Contains(err.Error(), "worker-1 still seals with key") || did.Resealed["jobs"] != 1 {
		t.Errorf("Reseal() = %+v, %v", did, err)
	}
	// What no key opens is told.
	foreign, err := secret.NewKeyset()
	p.ok(err)
	other, err := secret.OpenBox(foreign)
	p.ok(err)
	mine, box := p.open()
	p.ok(mine.CheckKeys(t.Context()))
	box.Swap(other)
	p.ok(mine.CreateJobs(t.Context(), []job.Record{{Job: job.Job{ID: "j3", Project: "p", Status: job.Configuration, Role: job.Standalone}, Endpoints: json.RawMessage("{}")}}))
	p.ok(s.WithdrawKeys(t.Context(), "worker-1"))
	if _, err := r.Reseal(t.Context()); err == nil || !strings.Contains(err.Error(), "opens 1 in jobs") {
		t.Errorf("Reseal() = %v", err)
	}
}

func TestSilentProcesses(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	second := p.add()
	p.process(holder("killed", p.first))
	s, box := p.open()
	silent := &aged{Store: s, age: 2 * keyring.Silence}
	config := keyring.RotationConfig{Poll: time.Millisecond, Patience: 50 * time.Millisecond, Say: func(text string) { p.said = append(p.said, text) }}
	// One that was cut off is heard of again while it is waited for.
	silent.until = 3
	before := p.keys()
	p.refused(keyring.NewRotation(silent, box, p.file, config).Promote(t.Context(), second), before, "killed does not have key")
	silent.until = -1
	p.ok(keyring.NewRotation(silent, box, p.file, config).Promote(t.Context(), second))
	if !strings.Contains(strings.Join(p.said, "\n"), "killed was last heard of 2m0s ago and counts as gone") {
		t.Errorf("said %q", p.said)
	}
}

// aged makes everybody silent, until it was asked so many times; -1 is always.
type aged struct {
	keyring.Store
	age   time.Duration
	until int
	asked int
}

func (a *aged) KeyHolders(ctx context.Context) ([]keyring.Holder, error) {
	all, err := a.Store.KeyHolders(ctx)
	a.asked++
	for i := range all {
		if a.until < 0 || a.asked < a.until {
			all[i].Age = a.age
		}
	}
	return all, err
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newLog() (*slog.Logger, *syncBuffer) {
	var b syncBuffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
