package certs

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the format names it; nothing rests on it here
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"unicode/utf16"

	"dialtone/internal/secret"
)

// The Java key stores JKS and JCEKS, as sun.security.provider.JavaKeyStore and
// com.sun.crypto.provider.JceKeyStore write them: magic, version, number of
// entries, the entries, and a digest over password and all that. Numbers are
// big-endian, a text has its length in two bytes and other content in four.
const (
	javaTrusted = 2 // a certificate to trust
	javaPrivate = 1 // a private key with its chain
	javaSecret  = 3 // a secret key, in JCEKS only

	javaWhitener = "Mighty Aphrodite" // what the digest is salted with
	javaX509     = "X.509"
)

// javaStore is the structure of a store, its parts not yet understood.
type javaStore struct {
	trusted [][]byte
	keys    []javaKey
	count   int // certificates
}

type javaKey struct {
	sealed []byte
	chain  [][]byte
}

// parseJava reads a Java key store. With a password its digest is checked,
// which proves both that the password is right and that nothing is damaged.
func parseJava(content []byte, password secret.Text) (*store, error) {
	body := content[:max(0, len(content)-sha1.Size)]
	raw, err := readJava(body)
	if err != nil {
		return nil, err
	}
	if password.IsSet() {
		if len(password.Reveal()) > maxPassword {
			return nil, ErrPassword
		}
		digest := javaDigest(javaPassword(password), []byte(javaWhitener), body)
		if subtle.ConstantTimeCompare(digest, content[len(body):]) != 1 {
			return nil, fmt.Errorf("%w, or the store is damaged", ErrPassword)
		}
	}
	found := &store{}
	if found.certs, err = parseAll(raw.trusted); err != nil {
		return nil, err
	}
	for _, key := range raw.keys {
		chain, err := parseAll(key.chain)
		if err != nil {
			return nil, err
		}
		found.certs = append(found.certs, chain...)
		found.keys = append(found.keys, sealedKey{certs: chain, open: func(password secret.Text) (signer, error) {
			return openSealed(key.sealed, password)
		}})
	}
	return found, nil
}

// readJava walks through the entries.
func readJava(body []byte) (*javaStore, error) {
	c := &cursor{rest: body}
	_ = c.uint32() // the magic, which has been looked at
	version, entries := c.uint32(), c.uint32()
	if !c.short && version != 1 && version != 2 {
		return nil, fmt.Errorf("%w: a Java key store of version %d", ErrInvalid, version)
	}
	found := &javaStore{}
	for ; entries > 0 && !c.short; entries-- {
		if err := found.entry(c, version); err != nil {
			return nil, err
		}
	}
	switch {
	case c.short:
		return nil, fmt.Errorf("%w: the Java key store is cut off or damaged", ErrInvalid)
	case len(c.rest) > 0:
		return nil, fmt.Errorf("%w: the Java key store has bytes behind its end", ErrInvalid)
	}
	return found, nil
}

// entry reads one entry; that it was cut short is seen by the caller.
func (s *javaStore) entry(c *cursor, version uint32) error {
	kind := c.uint32()
	_ = c.take(int(c.uint16())) // alias
	_ = c.take(8)               // date
	if c.short {
		return nil
	}
	switch kind {
	case javaTrusted:
		cert, err := s.certificate(c, version)
		s.trusted = append(s.trusted, cert)
		return err
	case javaPrivate:
		key := javaKey{sealed: c.chunk()}
		for n := c.uint32(); n > 0 && !c.short; n-- {
			cert, err := s.certificate(c, version)
			if err != nil {
				return err
			}
			key.chain = append(key.chain, cert)
		}
		s.keys = append(s.keys, key)
		return nil
	case javaSecret:
		return fmt.Errorf("%w: the Java key store holds a secret key, a serialized object that only Java can read", ErrInvalid)
	default:
		return fmt.Errorf("%w: the Java key store is damaged: it has an entry of kind %d", ErrInvalid, kind)
	}
}

func (s *javaStore) certificate(c *cursor, version uint32) ([]byte, error) {
	if version == 2 {
		if kind := c.take(int(c.uint16())); !c.short && string(kind) != javaX509 {
			return nil, fmt.Errorf("%w: the Java key store holds a certificate that is not X.509", ErrInvalid)
		}
	}
	if s.count++; s.count > maxCertificates {
		return nil, fmt.Errorf("%w: more than %d certificates", ErrInvalid, maxCertificates)
	}
	return c.chunk(), nil
}

// cursor reads fields off a buffer. A length that exceeds what is left ends it:
// everything after that is empty, and nothing is allocated.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.rest, c.short = nil, true
		return nil
	}
	taken := c.rest[:n]
	c.rest = c.rest[n:]
	return taken
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) chunk() []byte { return c.take(int(min(c.uint32(), maxEncoded+1))) }

// parseAll parses certificates one by one.
func parseAll(raw [][]byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for _, der := range raw {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%w: certificate %d: %w", ErrInvalid, len(list)+1, err)
		}
		list = append(list, cert)
	}
	return list, nil
}

// javaPassword is a password as these formats hash it: the two bytes of each
// unit of UTF-16.
func javaPassword(password secret.Text) []byte {
	return bigEndian(utf16.Encode([]rune(password.Reveal())))
}

func bigEndian(units []uint16) []byte {
	b := make([]byte, 0, 2*len(units)+2)
	for _, unit := range units {
		b = binary.BigEndian.AppendUint16(b, unit)
	}
	return b
}

func javaDigest(parts ...[]byte) []byte {
	digest := sha1.Sum(bytes.Join(parts, nil)) //nolint:gosec // see above
	return digest[:]
}
