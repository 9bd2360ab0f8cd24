package certs_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"

	"dialtone/internal/probe/certs"
	"dialtone/internal/secret"
)

func TestTrustStoreJava(t *testing.T) {
	t.Parallel()
	authority, client := readPEM(t, "trust.pem"), readPEM(t, "client.pem")
	for _, tc := range []struct {
		file, password string
		want           error
	}{
		{"trust.jks", "secret1", nil},
		{"trust.jks", "", nil},
		{"trust.jks", "secret2", certs.ErrPassword},
		{"trust.jks", strings.Repeat("x", 2000), certs.ErrPassword},
		{"trust.jceks", "secret1", nil},
		{"trust.jceks", "", nil},
		{"trust.jceks", "secret2", certs.ErrPassword},
		{"client-two.jks", "secret1", nil},
		{"client-two.jceks", "secret1", nil},
		{"client-secret.jceks", "secret1", certs.ErrInvalid},
	} {
		t.Run(tc.file+" "+tc.password[:min(7, len(tc.password))], func(t *testing.T) {
			t.Parallel()
			pool, err := certs.TrustStore(secret.New(inBase64(must(os.ReadFile("testdata/"+tc.file)))), "", secret.New(tc.password))
			if !errors.Is(err, tc.want) {
				t.Fatalf("TrustStore() = %v, want %v", err, tc.want)
			}
			if err == nil && (!trusts(pool, authority) || !trusts(pool, client)) {
				t.Error("TrustStore() does not trust the authority and its client")
			}
		})
	}
}

// javaStore writes a store by the format's rules.
type javaStore struct{ bytes.Buffer }

func newJavaStore(magic, version, entries uint32) *javaStore {
	s := &javaStore{}
	return s.numbers(magic, version, entries)
}

func (s *javaStore) numbers(list ...uint32) *javaStore {
	_ = binary.Write(s, binary.BigEndian, list)
	return s
}

func (s *javaStore) text(text string) *javaStore {
	_ = binary.Write(s, binary.BigEndian, uint16(len(text)))
	s.WriteString(text)
	return s
}

// entry begins an entry of that kind.
func (s *javaStore) entry(kind uint32) *javaStore { return s.numbers(kind).text("alias").numbers(0, 0) }

func (s *javaStore) chunk(b []byte) *javaStore {
	s.numbers(uint32(len(b))).Write(b)
	return s
}

func (s *javaStore) digested(password string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(password)) {
		b = binary.BigEndian.AppendUint16(b, unit)
	}
	digest := sha1.Sum(append(append(b, "Mighty Aphrodite"...), s.Bytes()...))
	return inBase64(append(bytes.Clone(s.Bytes()), digest[:]...))
}

func TestTrustStoreJavaVariants(t *testing.T) {
	t.Parallel()
	const jks, jceks, trusted, private, secretKey, huge = 0xfeedfeed, 0xcececece, 2, 1, 3, math.MaxInt32
	a := newIssuer(t, "a")
	entry := func(s *javaStore) *javaStore { return s.entry(trusted).text("X.509").chunk(a.cert.Raw) }
	for _, tc := range []struct {
		name  string
		store *javaStore
		want  error
	}{
		{"version 2", entry(newJavaStore(jks, 2, 1)), nil},
		{"version 1, without types", newJavaStore(jks, 1, 1).entry(trusted).chunk(a.cert.Raw), nil},
		{"two entries", entry(entry(newJavaStore(jceks, 2, 2))), nil},
		{"empty", newJavaStore(jks, 2, 0), certs.ErrNoCertificate},
		{"of the future", entry(newJavaStore(jks, 3, 1)), certs.ErrInvalid},
		{"fewer entries than it says", entry(newJavaStore(jks, 2, 2)), certs.ErrInvalid},
		{"more than it says", entry(entry(newJavaStore(jks, 2, 1))), certs.ErrInvalid},
		{"a thousand million entries", newJavaStore(jks, 2, huge), certs.ErrInvalid},
		{"a certificate of 2 GiB", newJavaStore(jks, 2, 1).entry(trusted).text("X.509").numbers(huge), certs.ErrInvalid},
		{"a certificate of 4 GiB", newJavaStore(jks, 2, 1).entry(trusted).text("X.509").numbers(math.MaxUint32), certs.ErrInvalid},
		{"a key of 2 GiB", newJavaStore(jks, 2, 1).entry(private).numbers(huge), certs.ErrInvalid},
		{"a chain of a thousand million", newJavaStore(jks, 2, 1).entry(private).numbers(0, huge), certs.ErrInvalid},
		{"another type", newJavaStore(jks, 2, 1).entry(trusted).text("PGP").chunk(a.cert.Raw), certs.ErrInvalid},
		{"another kind of entry", newJavaStore(jks, 2, 1).entry(9), certs.ErrInvalid},
		{"a secret key", newJavaStore(jceks, 2, 1).entry(secretKey), certs.ErrInvalid},
		{"no certificate in the place of one", newJavaStore(jks, 2, 1).entry(trusted).text("X.509").chunk([]byte("hello")), certs.ErrInvalid},
		{"magic alone", newJavaStore(jks, 2, 0).cut(4), certs.ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, given := range []string{password, ""} {
				pool, err := certs.TrustStore(secret.New(tc.store.digested(password)), "", secret.New(given))
				if !errors.Is(err, tc.want) {
					t.Errorf("TrustStore() = %v, want %v", err, tc.want)
				}
				if err == nil && !trusts(pool, a.cert) {
					t.Error("TrustStore() does not trust the certificate")
				}
			}
		})
	}
	t.Run("512 certificates are enough", func(t *testing.T) {
		t.Parallel()
		s := newJavaStore(jks, 2, 513)
		for range 513 {
			s = entry(s)
		}
		if _, err := certs.TrustStore(secret.New(s.digested("")), "", secret.Text{}); !errors.Is(err, certs.ErrInvalid) {
			t.Errorf("TrustStore() = %v, want %v", err, certs.ErrInvalid)
		}
	})
}

func (s *javaStore) cut(n int) *javaStore { s.Truncate(n); return s }

// Lengths that lie cost nothing: a store of 36 bytes once cost a reader 80 GiB.
func TestTrustStoreJavaMemory(t *testing.T) { //nolint:paralleltest // it measures what it allocates
	text := secret.New(newJavaStore(0xfeedfeed, 2, math.MaxUint32).entry(1).numbers(0, math.MaxInt32).digested(""))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := certs.TrustStore(text, "", secret.Text{}); !errors.Is(err, certs.ErrInvalid) {
		t.Errorf("TrustStore() = %v, want %v", err, certs.ErrInvalid)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes were allocated for a store of some fifty", used)
	}
}
