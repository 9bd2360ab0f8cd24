package certs

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // PKCS#12 names it; nothing rests on it here
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"

	"dialtone/internal/secret"
)

const (
	// maxIterations bounds the key derivations of one store together. Common
	// tools write 1 to 10,000 each; the decoder has no limit, a million take
	// a second or two, and nothing can stop one that has begun.
	maxIterations = 1_000_000
	// maxPassword bounds what the derivations hash.
	maxPassword = 1024
	// maxSafes bounds the parts of a store: usual are one and two.
	maxSafes = 8
)

// The structures of RFC 7292 as far as they are needed to see what opening a
// store would cost, before it is opened.
type (
	pfx struct {
		Version  int
		AuthSafe contentInfo
		MacData  macData `asn1:"optional"`
	}
	contentInfo struct {
		ContentType asn1.ObjectIdentifier
		Content     asn1.RawValue `asn1:"tag:0,explicit,optional"`
	}
	macData struct {
		Mac        digestInfo
		Salt       []byte
		Iterations int `asn1:"optional,default:1"`
	}
	digestInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	encryptedData struct {
		Version int
		Content struct {
			ContentType asn1.ObjectIdentifier
			Algorithm   pkix.AlgorithmIdentifier
			Encrypted   asn1.RawValue `asn1:"tag:0,optional"`
		}
	}
	safeBag struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue `asn1:"tag:0,explicit"`
		Attributes asn1.RawValue `asn1:"set,optional"`
	}
	pbeParams struct {
		Salt       asn1.RawValue
		Iterations int
	}
	// schemeParams are those of PBES2 and PBMAC1 alike: two algorithms, of
	// which the first derives the key.
	schemeParams struct {
		KDF    pkix.AlgorithmIdentifier
		Scheme pkix.AlgorithmIdentifier
	}
)

//nolint:gochecknoglobals // object identifiers are constants
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEncryptedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
	oidKeyBag        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	oidSealedKeyBag  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}
	oidCertBag       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 3}
	oidPBES2         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBMAC1        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}
	oidSHA1          = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	// placeholderKey is an Ed25519 key of zeros, as PKCS#8.
	placeholderKey = append([]byte{
		0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
	}, make([]byte, 32)...)
)

// isPKCS12 tells a store from a certificate: it begins with the version 3.
func isPKCS12(content []byte) bool {
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(content, &outer); err != nil {
		return false
	}
	return bytes.HasPrefix(outer.Bytes, []byte{0x02, 0x01, 0x03})
}

// parsePKCS12 reads a store: a trust store as Java writes it, certificates
// alone, or a key store.
func parsePKCS12(content []byte, password secret.Text) (*store, error) {
	if !writable(password) {
		return nil, ErrPassword
	}
	safes, err := openSafes(content)
	if err != nil {
		return nil, err
	}
	list, err := pkcs12Certificates(content, safes, password)
	if err != nil {
		return nil, err
	}
	found := &store{certs: list}
	for _, bag := range shroudedKeys(safes) {
		found.keys = append(found.keys, sealedKey{certs: list, open: func(password secret.Text) (signer, error) {
			if bag.ID.Equal(oidKeyBag) {
				return parsePKCS8(bag.Value.Bytes)
			}
			return openSealed(bag.Value.Bytes, password)
		}})
	}
	return found, nil
}

// shroudedKeys lists the private keys of a store that every tool writes: under
// a protection of their own, in a part that is otherwise open. One inside an
// encrypted part is left alone: what it would cost to open cannot be seen.
func shroudedKeys(safes []contentInfo) []safeBag {
	var keys []safeBag
	for _, safe := range safes {
		if !safe.ContentType.Equal(oidData) {
			continue
		}
		bags, err := openBags(safe)
		if err != nil {
			continue // those who read the certificates will say so
		}
		for _, bag := range bags {
			if bag.ID.Equal(oidKeyBag) || bag.ID.Equal(oidSealedKeyBag) {
				keys = append(keys, bag)
			}
		}
	}
	return keys
}

// openBags lists what is in an open part.
func openBags(safe contentInfo) ([]safeBag, error) {
	var inner []byte
	if err := unmarshal(safe.Content.Bytes, &inner); err != nil {
		return nil, err
	}
	var bags []safeBag
	err := unmarshal(inner, &bags)
	return bags, err
}

func pkcs12Certificates(content []byte, safes []contentInfo, password secret.Text) ([]*x509.Certificate, error) {
	// This proves the password by the store's own checksum, and is all there
	// is to do for a trust store.
	list, err := pkcs12.DecodeTrustStore(content, password.Reveal())
	switch {
	case err == nil:
		return list, nil
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return nil, ErrPassword
	}
	for _, safe := range safes {
		some, err := safeCertificates(safe, password)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	return list, nil
}

// writable says whether a store can have that password: the format knows the
// basic plane of Unicode only.
func writable(password secret.Text) bool {
	for _, r := range password.Reveal() {
		if r > 0xffff {
			return false
		}
	}
	return len(password.Reveal()) <= maxPassword
}

// openSafes reads the outside of a store and refuses one that would cost too
// much to open.
func openSafes(content []byte) ([]contentInfo, error) {
	var store pfx
	if err := unmarshal(content, &store); err != nil {
		return nil, err
	}
	if !store.AuthSafe.ContentType.Equal(oidData) {
		return nil, fmt.Errorf("%w: a PKCS#12 store that is signed, not protected by a password", ErrInvalid)
	}
	var inner []byte
	if err := unmarshal(store.AuthSafe.Content.Bytes, &inner); err != nil {
		return nil, err
	}
	var safes []contentInfo
	if err := unmarshal(inner, &safes); err != nil {
		return nil, err
	}
	if len(safes) > maxSafes {
		return nil, fmt.Errorf("%w: a PKCS#12 store of more than %d parts", ErrInvalid, maxSafes)
	}
	work := &effort{}
	if mac := store.MacData; len(mac.Mac.Algorithm.Algorithm) > 0 {
		work.add(mac.Iterations)
		work.algorithm(mac.Mac.Algorithm)
	}
	for _, safe := range safes {
		if safe.ContentType.Equal(oidEncryptedData) {
			var enc encryptedData
			if err := unmarshal(safe.Content.Bytes, &enc); err != nil {
				return nil, err
			}
			work.algorithm(enc.Content.Algorithm)
		}
	}
	if work.err != nil {
		return nil, work.err
	}
	return safes, nil
}

// effort sums the iterations of every key derivation that opening a store
// would run.
type effort struct {
	total int
	err   error
}

func (e *effort) add(iterations int) {
	if iterations < 0 || iterations > maxIterations || e.total+iterations > maxIterations {
		e.err = fmt.Errorf("%w: more than %d key derivation rounds", ErrInvalid, maxIterations)
		return
	}
	e.total += iterations
}

func (e *effort) algorithm(a pkix.AlgorithmIdentifier) {
	params := a.Parameters.FullBytes
	if a.Algorithm.Equal(oidPBES2) || a.Algorithm.Equal(oidPBMAC1) {
		var scheme schemeParams
		if err := unmarshal(params, &scheme); err != nil {
			e.err = err
			return
		}
		params = scheme.KDF.Parameters.FullBytes
	}
	var pbe pbeParams
	if _, err := asn1.Unmarshal(params, &pbe); err != nil {
		return // an algorithm without rounds, such as a bare digest
	}
	e.add(pbe.Iterations)
}

// safeCertificates reads the certificates of one part of a store. The decoder
// wants exactly one private key beside them and would decrypt it, at a price
// that can only be seen once the part is open. So the part is wrapped into a
// store of our own that begins with a placeholder key: the decoder is content,
// and refuses any further key before it works on it.
func safeCertificates(safe contentInfo, password secret.Text) ([]*x509.Certificate, error) {
	if safe.ContentType.Equal(oidData) {
		stripped, err := onlyCertificates(safe)
		if err != nil || stripped == nil {
			return nil, err
		}
		safe = *stripped
	}
	wrapped, err := wrap(safe, password)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	_, first, rest, err := pkcs12.DecodeChain(wrapped, password.Reveal())
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword), errors.Is(err, pkcs12.ErrDecryption):
		return nil, ErrPassword
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return append(rest, first), nil
}

// onlyCertificates drops everything but certificates from an open part; nil if
// nothing is left.
func onlyCertificates(safe contentInfo) (*contentInfo, error) {
	bags, err := openBags(safe)
	if err != nil {
		return nil, err
	}
	var kept []safeBag
	for _, bag := range bags {
		if bag.ID.Equal(oidCertBag) {
			bag.Attributes = asn1.RawValue{}
			kept = append(kept, bag)
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	stripped, err := openSafe(kept)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &stripped, nil
}

// openSafe makes an unencrypted part.
func openSafe(bags []safeBag) (contentInfo, error) {
	inner, err := asn1.Marshal(bags)
	if err != nil {
		return contentInfo{}, err
	}
	return dataContent(inner)
}

func dataContent(inner []byte) (contentInfo, error) {
	octets, err := asn1.Marshal(inner)
	if err != nil {
		return contentInfo{}, err
	}
	return contentInfo{ContentType: oidData, Content: explicit(octets)}, nil
}

func explicit(b []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: b}
}

// wrap makes a store of the placeholder key and one part.
func wrap(safe contentInfo, password secret.Text) ([]byte, error) {
	key, err := openSafe([]safeBag{{ID: oidKeyBag, Value: explicit(placeholderKey)}})
	if err != nil {
		return nil, err
	}
	inner, err := asn1.Marshal([]contentInfo{key, safe})
	if err != nil {
		return nil, err
	}
	auth, err := dataContent(inner)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(pfx{Version: 3, AuthSafe: auth, MacData: authenticate(inner, password)})
}

// authenticate computes the checksum of a store as RFC 7292 appendix B does,
// in one round: it is read by the decoder a moment later and by nobody else.
func authenticate(inner []byte, password secret.Text) macData {
	salt := []byte("dialtone")
	mac := hmac.New(sha1.New, derivePKCS12(forMAC, salt, zeroTerminated(password), 1, sha1.Size))
	mac.Write(inner)
	return macData{
		Mac:  digestInfo{Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidSHA1, Parameters: asn1.NullRawValue}, Digest: mac.Sum(nil)},
		Salt: salt, Iterations: 1,
	}
}

// stretch repeats b up to the next multiple of block.
func stretch(b []byte, block int) []byte {
	if len(b) == 0 {
		return nil
	}
	size := (len(b) + block - 1) / block * block
	return bytes.Repeat(b, size/len(b)+1)[:size]
}

func unmarshal(b []byte, to any) error {
	rest, err := asn1.Unmarshal(b, to)
	switch {
	case err != nil:
		return fmt.Errorf("%w: its structure: %w", ErrInvalid, err)
	case len(rest) > 0:
		return fmt.Errorf("%w: its structure: bytes behind the end", ErrInvalid)
	}
	return nil
}
