// Package certs reads the certificate authority that a caller hands in with a
// target: Base64 of PEM, DER or PKCS#12, with the checksum and the password
// that belong to it. All of it is foreign input, so the size, the number of
// certificates, the size of their keys and the work of opening a store are
// bounded. Handshakes and verdicts are not known here.
package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"dialtone/internal/secret"
)

// The faults that a caller can tell apart; every error of Authority wraps one.
var (
	// ErrChecksum: the checksum given is not that of the certificate given.
	ErrChecksum = errors.New("the checksum does not belong to the certificate")
	// ErrPassword: the PKCS#12 store does not open with the password given.
	ErrPassword = errors.New("the password does not open the certificate store")
	// ErrInvalid: the input is no usable certificate.
	ErrInvalid = errors.New("not a usable certificate")
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

// Authority reads the certificates to trust. The content is PEM with one or
// more certificates, one DER certificate, or a PKCS#12 store; it comes as
// Base64 in the standard or the URL alphabet, padded or not, in lines or not.
// PEM that was not encoded at all is understood too.
//
// The checksum is the hex SHA-256, in either letter case, of the content or of
// the Base64 text, because the wire's documents do not say which of the two is
// meant; an empty one is not checked. The password is used for PKCS#12 only.
func Authority(encoded secret.Text, checksum string, password secret.Text) (*x509.CertPool, error) {
	text := encoded.Reveal()
	if len(text) > maxEncoded {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, maxEncoded)
	}
	content, err := decode(text)
	if err != nil {
		return nil, err
	}
	if !checksumFits(checksum, text, content) {
		return nil, ErrChecksum
	}
	list, err := parse(content, password)
	if err != nil {
		return nil, err
	}
	return pool(list)
}

// decode gives the content of the input text.
func decode(text string) ([]byte, error) {
	if strings.Contains(text, pemBegin) {
		return []byte(text), nil
	}
	plain := compact.Replace(text)
	if plain == "" {
		return nil, fmt.Errorf("%w: it is empty", ErrInvalid)
	}
	content, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(plain, "="))
	if err != nil {
		// The error names an offset only, never the content.
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return content, nil
}

// compact brings Base64 to one line of one alphabet.
//
//nolint:gochecknoglobals // a constant table
var compact = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "", "-", "+", "_", "/")

// checksumFits compares with the checksum of everything that a caller may have
// computed it over.
func checksumFits(checksum, text string, content []byte) bool {
	checksum = strings.ToLower(strings.TrimSpace(checksum))
	if checksum == "" {
		return true
	}
	oneLine := strings.Join(strings.Fields(text), "")
	for _, candidate := range [][]byte{content, []byte(text), []byte(oneLine)} {
		sum := sha256.Sum256(candidate)
		if hex.EncodeToString(sum[:]) == checksum {
			return true
		}
	}
	return false
}

// pool checks the limits and builds the pool.
func pool(list []*x509.Certificate) (*x509.CertPool, error) {
	switch {
	case len(list) == 0:
		return nil, fmt.Errorf("%w: there is no certificate in it", ErrInvalid)
	case len(list) > maxCertificates:
		return nil, fmt.Errorf("%w: more than %d certificates", ErrInvalid, maxCertificates)
	}
	roots := x509.NewCertPool()
	for _, c := range list {
		if err := keyFits(c); err != nil {
			return nil, err
		}
		roots.AddCert(c)
	}
	return roots, nil
}
