package probe

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"dialtone/internal/probe/certs"
	"dialtone/internal/secret"
)

// material is what the handshakes of one target are made with.
type material struct {
	// roots are the authorities to trust; nil means the system's.
	roots *x509.CertPool
	// client is the certificate to show when the server asks; nil: none.
	client *tls.Certificate
	// unusable says why a key that came with the authority is not used.
	unusable Code
}

// materialError is a fault of what the caller gave in that field of the wire.
type materialError struct {
	field string
	err   error
}

func (e *materialError) Error() string { return e.field + ": " + e.err.Error() }

func (e *materialError) Unwrap() error { return e.err }

// readMaterial reads the certificates that the caller gave.
func readMaterial(t *Target) (material, error) {
	switch {
	case t.TLS == nil:
		return material{}, nil
	case t.Kafka != nil:
		return kafkaMaterial(t)
	default:
		return authority(t.TLS)
	}
}

// authority reads what is to be trusted. A wallet carries the client's key too,
// and other bundles a key that is not meant for us: one that cannot be used is
// no fault unless the server asks for it.
func authority(t *TLS) (material, error) {
	var m material
	if !t.Certificate.IsSet() {
		return m, nil
	}
	var err error
	if m.roots, err = certs.TrustStore(t.Certificate, t.Checksum, t.Password); err != nil {
		return m, &materialError{"ssl_cert_key", err}
	}
	if m.client, err = certs.ClientKey(t.Certificate, t.Password); err != nil {
		m.unusable = certCode(err)
	}
	return m, nil
}

// kafkaMaterial reads the two stores of Kafka.
func kafkaMaterial(t *Target) (material, error) {
	k := t.Kafka
	var m material
	var err error
	if k.TrustStore.IsSet() {
		if m.roots, err = certs.TrustStore(k.TrustStore, "", k.TrustStorePassword); err != nil {
			err = &materialError{"trust_store_key", err}
		}
	} else {
		m, err = authority(t.TLS)
	}
	if err != nil || !k.EnableKeyStore || !k.KeyStore.IsSet() {
		return m, err
	}
	var password secret.Text // of the key; that of the store, unless it is set apart
	if k.SetPrivateKeyPassword {
		password = k.PrivateKeyPassword
	}
	if m.client, err = certs.KeyStore(k.KeyStore, k.KeyStorePassword, password); err != nil {
		return m, &materialError{"key_store_key", err}
	}
	m.unusable = ""
	return m, nil
}

// certCode translates a fault of what the caller gave.
func certCode(err error) Code {
	for kind, code := range map[error]Code{
		certs.ErrNotBase64:     CodeCertNotBase64,
		certs.ErrEmpty:         CodeCertEmpty,
		certs.ErrNoCertificate: CodeCertEmpty,
		certs.ErrChecksum:      CodeCertChecksum,
		certs.ErrPassword:      CodeCertPassword,
		certs.ErrNoKey:         CodeKeyMissing,
		certs.ErrKeyPassword:   CodeKeyPassword,
		certs.ErrKeyMismatch:   CodeKeyMismatch,
	} {
		if errors.Is(err, kind) {
			return code
		}
	}
	return CodeCertInvalid
}

// materialFacts say what is wrong with which field.
func materialFacts(err error, scrub *secret.Scrubber) map[string]string {
	facts := map[string]string{}
	if fault, ok := errors.AsType[*materialError](err); ok {
		facts["certificate_field"] = fault.field
		facts["certificate_fault"] = scrub.Scrub(fault.err.Error())
	}
	if sum, ok := errors.AsType[*certs.ChecksumError](err); ok {
		facts["certificate_fault"] = certs.ErrChecksum.Error()
		facts["checksum_given"] = scrub.Scrub(sum.Given)
		facts["checksum_of_content"] = sum.Content
		facts["checksum_of_base64"] = sum.Base64
		if sum.Algorithm != "" {
			facts["checksum_algorithm"] = sum.Algorithm
		}
	}
	return facts
}
