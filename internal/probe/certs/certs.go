// Package certs reads the certificates and keys that a caller hands in with a
// target: the authority to trust, and the certificate to show when the server
// asks for one. They come as Base64 of PEM, DER, PKCS#12 or a Java key store,
// with the checksum and the passwords that belong to them. All of it is foreign
// input, so the size, the number of certificates, the size of their keys and
// the work of opening a store are bounded. Handshakes and verdicts are not
// known here.
package certs

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"

	"dialtone/internal/secret"
)

// The faults that a caller can tell apart; every error of this package wraps
// exactly one of them. No text of theirs holds a password or a key.
var (
	// ErrEmpty: there is no content at all.
	ErrEmpty = errors.New("there is no content")
	// ErrNotBase64: the text is neither Base64 nor PEM.
	ErrNotBase64 = errors.New("not Base64")
	// ErrChecksum: the checksum given is not that of the content given. The
	// error is a *ChecksumError.
	ErrChecksum = errors.New("the checksum does not belong to the content")
	// ErrFormat: the content is in none of the formats known here.
	ErrFormat = errors.New("unknown format")
	// ErrInvalid: the content is in a known format, but damaged, too large, or
	// too much work to open.
	ErrInvalid = errors.New("not usable")
	// ErrNoCertificate: the content is sound and holds no certificate.
	ErrNoCertificate = errors.New("there is no certificate in it")
	// ErrPassword: the store does not open with the password given.
	ErrPassword = errors.New("the password does not open the store")
	// ErrNoKey: a key store without a private key.
	ErrNoKey = errors.New("there is no private key in it")
	// ErrKeyPassword: the store opens, but not the private key in it.
	ErrKeyPassword = errors.New("the password does not open the private key")
	// ErrKeyMismatch: no certificate in the content is that of its private key.
	ErrKeyMismatch = errors.New("the private key belongs to none of the certificates")
)

const (
	// maxEncoded bounds the input: a bundle of 150 roots has about 220 KB.
	maxEncoded = 1 << 20
	// maxCertificates bounds the pool that every handshake searches.
	maxCertificates = 512
	// maxRSABits bounds the work of verifying a signature: it grows with the
	// square of the size, and the largest key in public use has 4,096 bits.
	maxRSABits = 16384
)

// TrustStore reads the certificates to trust. The content is PEM with one or
// more certificates, one DER certificate, a PKCS#12 store or a Java key store
// (JKS, JCEKS); it comes as Base64 in the standard or the URL alphabet, padded
// or not, in lines or not. PEM that was not encoded at all is understood too.
//
// The checksum is the hex SHA-256, in either letter case, of the content or of
// the Base64 text, because the wire's documents do not say which of the two is
// meant; an empty one is not checked. The password is used for stores only.
// Without one a Java key store is read all the same and not checked for damage,
// as Java does.
func TrustStore(encoded secret.Text, checksum string, password secret.Text) (*x509.CertPool, error) {
	text, content, err := decode(encoded)
	if err != nil {
		return nil, err
	}
	if err := compare(checksum, text, content); err != nil {
		return nil, err
	}
	found, err := parse(content, password)
	if err != nil {
		return nil, err
	}
	if err := usable(found.certs); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	for _, c := range found.certs {
		roots.AddCert(c)
	}
	return roots, nil
}

// usable checks the limits.
func usable(list []*x509.Certificate) error {
	switch {
	case len(list) == 0:
		return ErrNoCertificate
	case len(list) > maxCertificates:
		return fmt.Errorf("%w: more than %d certificates", ErrInvalid, maxCertificates)
	}
	for _, c := range list {
		// The use of a larger key would cost more than that of any real one.
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
			return fmt.Errorf("%w: an RSA key of more than %d bits", ErrInvalid, maxRSABits)
		}
	}
	return nil
}
