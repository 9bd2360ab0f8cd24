package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"dialtone/internal/secret"
)

const pemBegin = "-----BEGIN "

// store is what an input holds.
type store struct {
	// certs are all certificates, those beside a private key included.
	certs []*x509.Certificate
	keys  []sealedKey
}

// sealedKey is a private key that nobody has opened yet.
type sealedKey struct {
	open func(password secret.Text) (signer, error)
	// certs are those among which its own is.
	certs []*x509.Certificate
}

// The beginnings of what is told apart. The file's name says nothing certain.
//
//nolint:gochecknoglobals // constant tables
var (
	magicJKS   = []byte{0xfe, 0xed, 0xfe, 0xed}
	magicJCEKS = []byte{0xce, 0xce, 0xce, 0xce}
	// What callers are known to hand in by mistake, and what it is.
	strangers = []struct {
		begin []byte
		is    string
	}{
		{[]byte{0xa1, 0xf8, 0x4e}, "an Oracle auto-login wallet (cwallet.sso), not its PKCS#12 (ewallet.p12)"},
		{[]byte("LS0tLS1CRUdJTi"), "PEM that was encoded in Base64 twice"},
		{[]byte("MII"), "Base64 that was encoded in Base64 again"},
		{[]byte("PK\x03\x04"), "a ZIP archive"},
	}
	// derPKCS7 is the object identifier of signed data, in DER.
	derPKCS7 = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02}
)

// parse reads the content in the format that its first bytes show.
func parse(content []byte, password secret.Text) (*store, error) {
	switch {
	case bytes.Contains(content, []byte(pemBegin)):
		return parsePEM(content)
	case bytes.HasPrefix(content, magicJKS), bytes.HasPrefix(content, magicJCEKS):
		return parseJava(content, password)
	case isPKCS12(content):
		return parsePKCS12(content, password)
	case content[0] == 0x30:
		return parseDER(content)
	}
	for _, s := range strangers {
		if bytes.HasPrefix(content, s.begin) {
			return nil, fmt.Errorf("%w: it is %s", ErrFormat, s.is)
		}
	}
	return nil, fmt.Errorf("%w: neither PEM nor DER, PKCS#12 or a Java key store", ErrFormat)
}

func parseDER(content []byte) (*store, error) {
	const header = 6 // of the outer sequence, at most
	if at := bytes.Index(content, derPKCS7); at > 0 && at <= header {
		return nil, fmt.Errorf("%w: it is a PKCS#7 bundle (.p7b)", ErrFormat)
	}
	c, err := x509.ParseCertificate(content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &store{certs: []*x509.Certificate{c}}, nil
}

// parsePEM takes every certificate and every private key, and passes over what
// else is there, such as the comments of a bundle.
func parsePEM(content []byte) (*store, error) {
	found := &store{}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("%w: certificate %d: %w", ErrInvalid, len(found.certs)+1, err)
			}
			if found.certs = append(found.certs, c); len(found.certs) > maxCertificates {
				return found, nil // it will be refused; parsing the rest is wasted
			}
		case "PKCS7":
			return nil, fmt.Errorf("%w: it is a PKCS#7 bundle (.p7b)", ErrFormat)
		case pemPKCS8, pemSealed, pemPKCS1, pemSEC1:
			if len(found.keys) == 0 {
				found.keys = append(found.keys, sealedKey{open: func(password secret.Text) (signer, error) {
					return openPEM(block, password)
				}})
			}
		}
	}
	for i := range found.keys {
		found.keys[i].certs = found.certs
	}
	return found, nil
}
