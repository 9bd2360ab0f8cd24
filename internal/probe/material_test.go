package probe_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// stored is a file of the package that reads certificates, as the wire has it.
func stored(t *testing.T, name string) secret.Text {
	t.Helper()
	b, err := os.ReadFile("certs/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(base64.StdEncoding.EncodeToString(b))
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// What the caller handed in is judged before anything is sent, and the report
// says which field it was and what is wrong with it.
func TestRunChecksTheCertificateFirst(t *testing.T) {
	t.Parallel()
	authority := stored(t, "trust.pem")
	content, err := base64.StdEncoding.DecodeString(authority.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	const store, key = "secret1", "secret2"
	kafka := func(trust, keys secret.Text, trustPassword, storePassword, keyPassword string) *probe.KafkaSecurity {
		return &probe.KafkaSecurity{
			TrustStore: trust, TrustStorePassword: secret.New(trustPassword), EnableKeyStore: keys.IsSet(), KeyStore: keys,
			KeyStorePassword: secret.New(storePassword), SetPrivateKeyPassword: keyPassword != "", PrivateKeyPassword: secret.New(keyPassword),
		}
	}
	trusted, keys := stored(t, "trust.jks"), stored(t, "client-two.jks")
	for _, tc := range []struct {
		name  string
		tls   probe.TLS
		kafka *probe.KafkaSecurity
		want  probe.Code
		facts map[string]string
	}{
		{"not Base64", probe.TLS{Certificate: secret.New("!")}, nil, probe.CodeCertNotBase64, map[string]string{"certificate_field": "ssl_cert_key"}},
		{"empty", probe.TLS{Certificate: secret.New(" ")}, nil, probe.CodeCertEmpty, map[string]string{"certificate_fault": "there is no content"}},
		{"no certificate in it", probe.TLS{Certificate: stored(t, "client.key")}, nil, probe.CodeCertEmpty, map[string]string{"certificate_fault": "there is no certificate in it"}},
		{"unknown format", probe.TLS{Certificate: stored(t, "make.sh")}, nil, probe.CodeCertInvalid, nil},
		{"wrong password", probe.TLS{Certificate: stored(t, "keytool.p12"), Password: secret.New("hunter33")}, nil, probe.CodeCertPassword, nil},
		{"wrong checksum", probe.TLS{Certificate: authority, Checksum: strings.Repeat("0", 64)}, nil, probe.CodeCertChecksum, map[string]string{
			"certificate_field": "ssl_cert_key", "checksum_given": strings.Repeat("0", 64),
			"checksum_of_content": hexSum(string(content)), "checksum_of_base64": hexSum(authority.Reveal()), "checksum_algorithm": "",
		}},
		{"checksum by MD5", probe.TLS{Certificate: authority, Checksum: strings.Repeat("0", 32)}, nil, probe.CodeCertChecksum, map[string]string{"checksum_algorithm": "MD5"}},
		{"Kafka, wrong trust store password", probe.TLS{}, kafka(trusted, secret.Text{}, "hunter33", "", ""), probe.CodeCertPassword, map[string]string{"certificate_field": "trust_store_key"}},
		{"Kafka, wrong key store password", probe.TLS{}, kafka(trusted, keys, store, "hunter33", key), probe.CodeCertPassword, map[string]string{"certificate_field": "key_store_key"}},
		{"Kafka, wrong key password", probe.TLS{}, kafka(trusted, keys, store, store, "hunter33"), probe.CodeKeyPassword, map[string]string{"certificate_field": "key_store_key"}},
		{"Kafka, no key password", probe.TLS{}, kafka(trusted, keys, store, store, ""), probe.CodeKeyPassword, nil},
		{"Kafka, trust store as key store", probe.TLS{}, kafka(trusted, trusted, store, store, ""), probe.CodeKeyMissing, nil},
		{"Kafka, stranger's key", probe.TLS{}, kafka(trusted, mismatched(t), store, "", ""), probe.CodeKeyMismatch, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := toy(quiet(t))
			target.TLS, target.Kafka = &tc.tls, tc.kafka
			r := run(t, scripted(func(context.Context, *probe.Session) error { return errors.New("was called") }), target)
			if r.Code != tc.want || r.Phase != probe.PhaseInput || len(r.Evidence.Dials) != 0 {
				t.Errorf("Run() = %s in %q with %d dials, want %s in %q with none", r.Code, r.Phase, len(r.Evidence.Dials), tc.want, probe.PhaseInput)
			}
			for name, want := range tc.facts {
				if got := r.Evidence.Facts[name]; got != want {
					t.Errorf("the fact %s is %q, want %q", name, got, want)
				}
			}
			if r.Evidence.Facts["certificate_field"] == "" || r.Evidence.Facts["certificate_fault"] == "" {
				t.Errorf("facts %v: want the field and its fault", r.Evidence.Facts)
			}
			if b, _ := json.Marshal(r); strings.Contains(string(b), "hunter33") || strings.Contains(string(b), store) {
				t.Errorf("a password is in the report: %s", b)
			}
		})
	}
}

// mismatched is a certificate beside a key that is not its.
func mismatched(t *testing.T) secret.Text {
	t.Helper()
	root := certificate(t, "root", ecKey(t), nil, isAuthority)
	return bundle(t, root, &identity{cert: root.cert, key: ecKey(t)})
}

// Sound material is used: the stores of Kafka open, and a key that came with
// an authority and cannot be used is no fault by itself.
func TestRunUsesTheCertificates(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		tls   probe.TLS
		kafka *probe.KafkaSecurity
	}{
		{"Java key stores", probe.TLS{}, &probe.KafkaSecurity{
			TrustStore: stored(t, "trust.jks"), TrustStorePassword: secret.New("secret1"), EnableKeyStore: true, KeyStore: stored(t, "client-two.jceks"),
			KeyStorePassword: secret.New("secret1"), SetPrivateKeyPassword: true, PrivateKeyPassword: secret.New("secret2"),
		}},
		{"a key password that is switched off", probe.TLS{}, &probe.KafkaSecurity{
			TrustStore: stored(t, "trust.pem"), EnableKeyStore: true, KeyStore: stored(t, "client.p12"), KeyStorePassword: secret.New("secret1"),
			PrivateKeyPassword: secret.New("secret2"),
		}},
		{"a key store that is switched off", probe.TLS{Certificate: stored(t, "trust.pem")}, &probe.KafkaSecurity{KeyStore: secret.New("!")}},
		{"PKCS#12", probe.TLS{Certificate: stored(t, "client.p12"), Password: secret.New("secret1")}, nil},
		{"a key that does not open", probe.TLS{Certificate: stored(t, "client-two.jks"), Password: secret.New("secret1")}, nil},
		{"a stranger's key", probe.TLS{Certificate: mismatched(t)}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := toy(quiet(t))
			target.TLS, target.Kafka = &tc.tls, tc.kafka
			if r := run(t, scripted(talk), target); r.Code != probe.CodeOK {
				t.Errorf("Run() = %s, facts %v; want %s", r.Code, r.Evidence.Facts, probe.CodeOK)
			}
		})
	}
}
