package probetest

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
)

// NegativeSerial makes a server's TLS configuration with a certificate whose
// serial number is negative, as that which SQL Server makes for itself may be.
func (a *Authority) NegativeSerial(tb testing.TB) *tls.Config {
	tb.Helper()
	config := a.Server(tb, nil)
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}} // ECDSA with SHA-256
	der := Forge(tb, config.Certificates[0].Leaf, big.NewInt(-5), algorithm, func(tbs []byte) ([]byte, error) {
		digest := sha256.Sum256(tbs)
		return a.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	})
	config.Certificates[0].Certificate, config.Certificates[0].Leaf = [][]byte{der}, nil
	return config
}

// Forge makes of a certificate one that crypto/x509 refuses to make: with that
// serial number, and signed by that algorithm.
func Forge(tb testing.TB, cert *x509.Certificate, serial *big.Int, algorithm pkix.AlgorithmIdentifier, sign func(tbs []byte) ([]byte, error)) []byte {
	tb.Helper()
	var tbs struct {
		Version    int `asn1:"optional,explicit,default:0,tag:0"`
		Serial     *big.Int
		Algorithm  pkix.AlgorithmIdentifier
		Issuer     asn1.RawValue
		Validity   asn1.RawValue
		Subject    asn1.RawValue
		Key        asn1.RawValue
		Extensions []pkix.Extension `asn1:"optional,explicit,tag:3"`
	}
	if _, err := asn1.Unmarshal(cert.RawTBSCertificate, &tbs); err != nil {
		tb.Fatal(err)
	}
	tbs.Algorithm, tbs.Serial = algorithm, serial
	inner := encoded(tb, tbs)
	signature, err := sign(inner)
	if err != nil {
		tb.Fatal(err)
	}
	return encoded(tb, struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: inner}, algorithm, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
}

func encoded(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := asn1.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
