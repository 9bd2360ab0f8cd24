package certs

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"dialtone/internal/secret"
)

const pemBegin = "-----BEGIN "

// parse tells the formats apart by their first bytes: the file's name says
// nothing certain.
func parse(content []byte, password secret.Text) ([]*x509.Certificate, error) {
	switch {
	case bytes.Contains(content, []byte(pemBegin)):
		return parsePEM(content)
	case bytes.HasPrefix(content, []byte{0xfe, 0xed, 0xfe, 0xed}), bytes.HasPrefix(content, []byte{0xce, 0xce, 0xce, 0xce}):
		return nil, fmt.Errorf("%w: it is a Java key store (JKS or JCEKS)", ErrInvalid)
	case len(content) > 0 && content[0] == 0x30:
		if isPKCS12(content) {
			return parsePKCS12(content, password)
		}
		c, err := x509.ParseCertificate(content)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return []*x509.Certificate{c}, nil
	default:
		return nil, fmt.Errorf("%w: neither PEM nor DER nor PKCS#12", ErrInvalid)
	}
}

// parsePEM takes every certificate and passes over what else is there, such as
// a private key or the comments of a bundle.
func parsePEM(content []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: certificate %d: %w", ErrInvalid, len(list)+1, err)
		}
		if list = append(list, c); len(list) > maxCertificates {
			break // the pool refuses it; parsing the rest is wasted
		}
	}
	return list, nil
}

// keyFits refuses keys whose use would cost more than any real one does.
func keyFits(c *x509.Certificate) error {
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
		return fmt.Errorf("%w: an RSA key of more than %d bits", ErrInvalid, maxRSABits)
	}
	return nil
}
