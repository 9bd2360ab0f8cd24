package certs

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"dialtone/internal/secret"
)

const (
	// maxKeyBytes bounds a private key: one of RSA with 8,192 bits has 4,700.
	maxKeyBytes = 8 << 10
	// maxKeyBits bounds the work of a signature: it grows with the cube.
	maxKeyBits = 8192
)

// The types of PEM that hold a private key.
const (
	pemPKCS8  = "PRIVATE KEY"
	pemSealed = "ENCRYPTED PRIVATE KEY"
	pemPKCS1  = "RSA PRIVATE KEY"
	pemSEC1   = "EC PRIVATE KEY"
)

// KeyStore reads the certificate to show to a server, with its private key and
// the issuers that are there too. The content is a PKCS#12 store, a Java key
// store (JKS, JCEKS), or PEM with certificates and a key; of several keys it is
// the first. The key password is that of the private key, when it differs from
// that of the store.
func KeyStore(encoded, storePassword, keyPassword secret.Text) (*tls.Certificate, error) {
	_, content, err := decode(encoded)
	if err != nil {
		return nil, err
	}
	found, err := parse(content, storePassword)
	if err != nil {
		return nil, err
	}
	switch {
	case len(found.keys) == 0:
		return nil, ErrNoKey
	case !keyPassword.IsSet():
		keyPassword = storePassword
	}
	key, err := found.keys[0].open(keyPassword)
	if err != nil {
		return nil, err
	}
	if err := usable(found.certs); err != nil {
		return nil, err
	}
	return pair(key, found.keys[0].certs)
}

// ClientKey is KeyStore for content that is there to be trusted, such as an
// Oracle wallet, and may carry a client's key besides: nil when it does not.
func ClientKey(encoded, password secret.Text) (*tls.Certificate, error) {
	_, content, err := decode(encoded)
	if err != nil {
		return nil, err
	}
	if isPKCS12(content) {
		// Opening it takes time; whether there is a key is seen before.
		if safes, err := openSafes(content); err == nil && len(shroudedKeys(safes)) == 0 {
			return nil, nil
		}
	}
	cert, err := KeyStore(encoded, password, password)
	if errors.Is(err, ErrNoKey) {
		return nil, nil
	}
	return cert, err
}

// pair finds the certificate of the key and its issuers.
func pair(key signer, list []*x509.Certificate) (*tls.Certificate, error) {
	for _, leaf := range list {
		public, ok := leaf.PublicKey.(interface{ Equal(x crypto.PublicKey) bool })
		if !ok || !public.Equal(key.Public()) {
			continue
		}
		whole := &tls.Certificate{PrivateKey: key, Leaf: leaf}
		for _, c := range chain(leaf, list) {
			whole.Certificate = append(whole.Certificate, c.Raw)
		}
		return whole, nil
	}
	return nil, ErrKeyMismatch
}

// chain is leaf, its issuer, the issuer's issuer and so on, as far as they are
// in the list.
func chain(leaf *x509.Certificate, list []*x509.Certificate) []*x509.Certificate {
	sorted := []*x509.Certificate{leaf}
	for range list {
		last := sorted[len(sorted)-1]
		issuer := issuerOf(last, list)
		if issuer == nil || issuer == last {
			break
		}
		sorted = append(sorted, issuer)
	}
	return sorted
}

// issuerOf finds the one that a certificate names as its issuer; nil if the list
// has none, the certificate itself if it names itself.
func issuerOf(c *x509.Certificate, list []*x509.Certificate) *x509.Certificate {
	if bytes.Equal(c.RawIssuer, c.RawSubject) {
		return c
	}
	for _, candidate := range list {
		if bytes.Equal(candidate.RawSubject, c.RawIssuer) {
			return candidate
		}
	}
	return nil
}

// openPEM reads a private key out of PEM, protected in either of the two ways of
// openssl, or not.
func openPEM(block *pem.Block, password secret.Text) (signer, error) {
	der := block.Bytes
	if block.Type == pemSealed {
		return openSealed(der, password)
	}
	//nolint:staticcheck // deprecated as insecure, which the caller's file is whether it is read or not
	sealed := x509.IsEncryptedPEMBlock(block)
	if sealed {
		var err error
		if der, err = x509.DecryptPEMBlock(block, []byte(password.Reveal())); err != nil { //nolint:staticcheck // likewise
			if errors.Is(err, x509.IncorrectPasswordError) {
				return nil, ErrKeyPassword
			}
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	key, err := parseKey(block.Type, der)
	if err != nil && sealed {
		return nil, ErrKeyPassword // a wrong one can look right at first
	}
	return key, err
}

func parsePKCS8(der []byte) (signer, error) { return parseKey(pemPKCS8, der) }

// parseKey parses a private key that is open.
func parseKey(kind string, der []byte) (signer, error) {
	if len(der) > maxKeyBytes {
		return nil, fmt.Errorf("%w: a private key of more than %d bytes", ErrInvalid, maxKeyBytes)
	}
	var key any
	var err error
	switch kind {
	case pemPKCS1:
		key, err = x509.ParsePKCS1PrivateKey(der)
	case pemSEC1:
		key, err = x509.ParseECPrivateKey(der)
	default:
		key, err = x509.ParsePKCS8PrivateKey(der)
	}
	if err != nil {
		// The error is about the structure, and never holds the key.
		return nil, fmt.Errorf("%w: private key: %w", ErrInvalid, err)
	}
	if number, ok := key.(*rsa.PrivateKey); ok && number.N.BitLen() > maxKeyBits {
		return nil, fmt.Errorf("%w: a private RSA key of more than %d bits", ErrInvalid, maxKeyBits)
	}
	able, ok := key.(signer)
	if !ok {
		return nil, fmt.Errorf("%w: a private key of the kind %T cannot sign", ErrInvalid, key)
	}
	return able, nil
}
