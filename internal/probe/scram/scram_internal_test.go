package scram

import (
	"errors"
	"strings"
	"testing"

	"dialtone/internal/secret"
)

// TestVectors are the examples of RFC 5802, 5 and RFC 7677, 3.
func TestVectors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mechanism                            Mechanism
		nonce, challenge, final, serverFinal string
	}{
		{
			SHA1, "fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		},
		{
			SHA256, "rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		},
	} {
		t.Run(string(tc.mechanism), func(t *testing.T) {
			t.Parallel()
			c := newClient(t, Config{Mechanism: tc.mechanism, User: "user", Password: secret.New("pencil")}, tc.nonce)
			if got, want := string(c.First()), "n,,n=user,r="+tc.nonce; got != want {
				t.Errorf("First() = %q, want %q", got, want)
			}
			final, err := c.Final([]byte(tc.challenge))
			if err != nil || string(final) != tc.final {
				t.Errorf("Final() = %q, %v, want %q", final, err, tc.final)
			}
			if err := c.Verify([]byte(tc.serverFinal)); err != nil {
				t.Errorf("Verify() error = %v", err)
			}
			if err := c.Verify([]byte("v=AAAA")); !errors.Is(err, ErrServerProof) {
				t.Errorf("Verify() of a wrong proof: error = %v, want %v", err, ErrServerProof)
			}
		})
	}
}

func newClient(tb testing.TB, cfg Config, nonce string) *Client {
	tb.Helper()
	c, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	c.nonce = nonce
	return c
}

func TestFirst(t *testing.T) {
	t.Parallel()
	c := newClient(t, Config{Mechanism: SHA512, User: "a=b,c", Extensions: []string{"tokenauth=true"}}, "nonce")
	if got, want := string(c.First()), "n,,n=a=3Db=2Cc,r=nonce,tokenauth=true"; got != want {
		t.Errorf("First() = %q, want %q", got, want)
	}
}

func TestHostileChallenge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, challenge string
		want            error
	}{
		{"empty", "", ErrMalformed},
		{"no text", "\x00\x01", ErrMalformed},
		{"huge", "r=nonce1,s=QSXCR+Q6sek8bf92,i=" + strings.Repeat("1", maxMessage), ErrMalformed},
		{"another nonce", "r=other,s=QSXCR+Q6sek8bf92,i=4096", ErrMalformed},
		{"our nonce alone", "r=nonce,s=QSXCR+Q6sek8bf92,i=4096", ErrMalformed},
		{"salt is no Base64", "r=nonce1,s=?,i=4096", ErrMalformed},
		{"no iterations", "r=nonce1,s=QSXCR+Q6sek8bf92,i=0", ErrMalformed},
		{"negative iterations", "r=nonce1,s=QSXCR+Q6sek8bf92,i=-1", ErrMalformed},
		{"iterations twice", "r=nonce1,s=QSXCR+Q6sek8bf92,i=1,i=1", ErrMalformed},
		{"iterations are no number", "r=nonce1,s=QSXCR+Q6sek8bf92,i=many", ErrMalformed},
		{"one iteration too many", "r=nonce1,s=QSXCR+Q6sek8bf92,i=1000001", ErrIterations},
		{"hours of work", "r=nonce1,s=QSXCR+Q6sek8bf92,i=200000000", ErrIterations},
		{"mandatory extension", "m=x,r=nonce1,s=QSXCR+Q6sek8bf92,i=4096", ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, Config{Mechanism: SHA256, User: "user"}, "nonce")
			c.First()
			if _, err := c.Final([]byte(tc.challenge)); !errors.Is(err, tc.want) {
				t.Errorf("Final() error = %v, want %v", err, tc.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	c := newClient(t, Config{Mechanism: SHA256, User: "user"}, "nonce")
	refused, ok := errors.AsType[*RefusedError](c.Verify([]byte("e=invalid-proof")))
	if !ok || refused.Value != "invalid-proof" {
		t.Errorf("Verify() error = %v, want the server's refusal", refused)
	}
	if err := c.Verify([]byte("v=")); !errors.Is(err, ErrMalformed) {
		t.Errorf("Verify() of nothing: error = %v, want %v", err, ErrMalformed)
	}
}

// TestUnpreparable: the error of the library would quote the password.
func TestUnpreparable(t *testing.T) {
	t.Parallel()
	const password = "secret\u0007bell"
	c := newClient(t, Config{Mechanism: SHA256, User: "user", Password: secret.New(password)}, "nonce")
	c.First()
	_, err := c.Final([]byte("r=nonce1,s=QSXCR+Q6sek8bf92,i=1"))
	if err == nil || strings.Contains(err.Error(), "secret") || errors.Is(err, ErrMalformed) {
		t.Errorf("Final() error = %v, want one that names no password", err)
	}
}

func TestUnknownMechanism(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Mechanism: "PLAIN"}); err == nil {
		t.Error("New() takes PLAIN")
	}
}

func FuzzClient(f *testing.F) {
	f.Add([]byte("r=nonce1,s=QSXCR+Q6sek8bf92,i=4096"), []byte("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="))
	f.Add([]byte("e=unknown-user"), []byte("e=invalid-proof"))
	f.Fuzz(func(t *testing.T, challenge, final []byte) {
		c := newClient(t, Config{Mechanism: SHA256, User: "user", Password: secret.New("pencil")}, "nonce")
		c.First()
		if _, err := c.Final(challenge); err != nil && c.proof != nil {
			t.Errorf("a proof beside the error %v", err)
		}
		if c.Verify(final) == nil && c.proof == nil {
			t.Error("a server has proven a password that nobody asked about")
		}
	})
}
