package record_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
	"dialtone/internal/store/record"
)

func newSealer(t *testing.T) record.Sealer {
	t.Helper()
	keys, err := secret.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	return record.NewSealer(openBox(t, keys))
}

func openBox(t *testing.T, keys secret.Text) *secret.Box {
	t.Helper()
	box, err := secret.OpenBox(keys)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestSecretsOpenInTheirRowOnly(t *testing.T) {
	t.Parallel()
	s := newSealer(t)
	tests := []batch.Test{{ID: "t", Target: probe.Target{Engine: probe.MySQL, Password: secret.New("hush")}}}
	rows, finished, err := s.NewTests(record.LedgerKey("k"), "b", tests)
	if err != nil || finished != 0 {
		t.Fatal(finished, err)
	}
	sealed := rows[0].Sealed
	got, err := s.OpenTest("b", "t", sealed)
	if err != nil {
		t.Fatal(err)
	}
	var open probe.Target
	if err := json.Unmarshal([]byte(rows[0].Endpoint), &open); err != nil {
		t.Fatal(err)
	}
	if back := open.Join(got); back.Password.Reveal() != "hush" || open.Password.Reveal() != "" {
		t.Errorf("the password comes back as %q, and is %q in the clear part", back.Password.Reveal(), open.Password.Reveal())
	}
	for name, err := range map[string]error{
		"another test":  second(s.OpenTest("b", "u", sealed)),
		"another batch": second(s.OpenTest("c", "t", sealed)),
		"a job":         second(s.OpenJob("b", "t", sealed)),
		"another key":   second(newSealer(t).OpenTest("b", "t", sealed)),
	} {
		if !errors.Is(err, secret.ErrOpen) {
			t.Errorf("opened for %s: %v, want ErrOpen", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestEndpointsOpenInTheirRowOnly(t *testing.T) {
	t.Parallel()
	s := newSealer(t)
	r := job.Record{Job: job.Job{Project: "p", ID: "j"}, Endpoints: json.RawMessage(`{"a":1}`)}
	sealed, err := s.SealJob(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.OpenJob("p", "j", sealed); err != nil || string(got) != string(r.Endpoints) {
		t.Errorf("OpenJob() = %s, %v", got, err)
	}
	if _, err := s.OpenJob("q", "j", sealed); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("opened for another project: %v, want ErrOpen", err)
	}
	r.Endpoints = nil
	if sealed, err := s.SealJob(r); sealed != nil || err != nil {
		t.Errorf("SealJob() of nothing = %d bytes, %v", len(sealed), err)
	}
}

func TestCanary(t *testing.T) {
	t.Parallel()
	old, err := secret.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	both, err := secret.AddKey(old)
	if err != nil {
		t.Fatal(err)
	}
	_, ids := openBox(t, both).KeyIDs()
	promoted, err := secret.Promote(both, ids[1])
	if err != nil {
		t.Fatal(err)
	}
	canary, err := record.NewSealer(openBox(t, old)).SealCanary()
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]secret.Text{"before the new key is used": both, "once it is used": promoted} {
		if err := record.NewSealer(openBox(t, keys)).CheckCanary(canary); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := newSealer(t).CheckCanary(canary); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("under other keys: %v, want ErrOpen", err)
	}
}

func TestCursor(t *testing.T) {
	t.Parallel()
	want := record.Cursor{At: time.UnixMicro(1_700_000_000_123_456).UTC(), ID: batch.NewID()}
	got, err := record.ParseCursor(want.String())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, text := range map[string]string{
		"no base64":      "?",
		"empty":          "",
		"no id":          encode("1"),
		"no time":        encode("." + want.ID),
		"before 1970":    encode("-1." + want.ID),
		"after 9999":     encode("253402300799000001." + want.ID),
		"no UUID":        encode("1.x"),
		"upper case":     encode("1.0198C3A2-7B1E-7C3D-8E4F-5A6B7C8D9E0F"),
		"more behind it": encode("1." + want.ID + "0"),
	} {
		if _, err := record.ParseCursor(text); !errors.Is(err, batch.ErrBadCursor) {
			t.Errorf("%s: %v, want ErrBadCursor", name, err)
		}
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	found := []batch.Batch{{ID: batch.NewID(), CreatedAt: time.UnixMicro(2)}, {ID: batch.NewID(), CreatedAt: time.UnixMicro(1)}}
	if got := record.Page(found, 2); len(got.Batches) != 2 || got.Next != "" {
		t.Errorf("the last page holds %d, next %q", len(got.Batches), got.Next)
	}
	got := record.Page(found, 0)
	next, err := record.ParseCursor(got.Next)
	if len(got.Batches) != 1 || err != nil || next.ID != found[0].ID {
		t.Errorf("a page holds %d, next %+v, %v", len(got.Batches), next, err)
	}
}

// What a caller sends as a cursor is one that was given out, or none.
func FuzzCursor(f *testing.F) {
	f.Add(record.Cursor{At: time.UnixMicro(1700000000000000), ID: "018bcfe5-6800-7000-8000-000000000000"}.String())
	for _, seed := range []string{"", "MQ", "====", "LTEuMDE4YmNmZTUtNjgwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := record.ParseCursor(text)
		if err != nil {
			if !errors.Is(err, batch.ErrBadCursor) {
				t.Errorf("ParseCursor() = %v", err)
			}
			return
		}
		if again, err := record.ParseCursor(c.String()); err != nil || !again.At.Equal(c.At) || again.ID != c.ID || !record.IsUUID(c.ID) {
			t.Errorf("ParseCursor() = %+v, and from its own text %+v, %v", c, again, err)
		}
	})
}
