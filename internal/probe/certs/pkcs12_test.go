package certs_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/asn1"
	"testing"
)

type (
	testAlgorithm struct {
		ID     asn1.ObjectIdentifier
		Params asn1.RawValue
	}
	testContent struct {
		ID      asn1.ObjectIdentifier
		Content asn1.RawValue
	}
)

func wrapped(b []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: b}
}

func sequence(t *testing.T, parts ...any) asn1.RawValue {
	t.Helper()
	var all []byte
	for _, p := range parts {
		all = append(all, must(asn1.Marshal(p))...)
	}
	return asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: all}
}

// pbes2 is an algorithm that derives its key in that many rounds.
func pbes2(t *testing.T, salt, iv []byte, rounds int) testAlgorithm {
	t.Helper()
	prf := testAlgorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, asn1.NullRawValue}
	kdf := testAlgorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, sequence(t, salt, rounds, prf)}
	aes256 := testAlgorithm{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, asn1.RawValue{Tag: asn1.TagOctetString, Bytes: iv}}
	return testAlgorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, sequence(t, kdf, aes256)}
}

// hiddenRounds makes a store without a checksum whose encrypted part opens
// with one round and holds a certificate and a private key of 2^40 rounds.
func hiddenRounds(t *testing.T, a issuer) []byte {
	t.Helper()
	salt, iv := []byte("saltsalt"), make([]byte, aes.BlockSize)
	certBag := sequence(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}, wrapped(must(asn1.Marshal(a.cert.Raw))))
	shrouded := sequence(t, pbes2(t, salt, iv, 1<<40), make([]byte, 32))
	bags := must(asn1.Marshal([]testContent{
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 3}, wrapped(must(asn1.Marshal(certBag)))},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}, wrapped(must(asn1.Marshal(shrouded)))},
	}))
	pad := aes.BlockSize - len(bags)%aes.BlockSize
	bags = append(bags, bytes.Repeat([]byte{byte(pad)}, pad)...)
	block := must(aes.NewCipher(must(pbkdf2.Key(sha256.New, password, salt, 1, 32))))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(bags, bags)

	data := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	encrypted := sequence(t, 0, sequence(t, data, pbes2(t, salt, iv, 1), asn1.RawValue{Class: asn1.ClassContextSpecific, Bytes: bags}))
	safe := must(asn1.Marshal([]testContent{
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}, wrapped(must(asn1.Marshal(encrypted)))},
	}))
	return must(asn1.Marshal(sequence(t, 3, testContent{data, wrapped(must(asn1.Marshal(safe)))})))
}
