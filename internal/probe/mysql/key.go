package mysql

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
)

// decoyKey is what the driver is given to encrypt a password with that goes
// nowhere; nobody has the other half. It is large enough for any password that
// a server takes.
const decoyKey = `-----BEGIN PUBLIC KEY-----
MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAjS9wnq8mctVT0SA6ioy8
Pu874PjNpX2q9lqLcYv03F/baWOsaELZKNHvNWvOhDJ2u6ObJBvQEgeN5UDNb1CS
RqX7mHkZCapFNN34CxuU9L2VMPZsoO2ptUbOZP5u/tFomNgChrOlJNsC8whN/16I
clpND5yCOBNt+pezruU5OQM+wFpyyON4CAsh3PprUbIq/XlSkgezqKM1im5sVni1
OFgztXYCoDNgCUcdnQCv+k03rlXqs2FhXoHFJHcmNeINpZVSHgzf8lkW77tji+if
Wxv2GX/+/TCcYOPzsle8gAfaTPHXIYih27/CZDXY/1CW9z3NZVDX3EYDvFJqmxsR
WuuoIFZd22Lrlli4HUbKyqCz8mLiVnV1F7xmTaah3Jvq6g93bOYR5myXtMw+pHz4
2ln+hOe/T4mJlP4O/ECgKzNsRPG2Uf8qVhTc4NyFVXeoqYHfdUZu2qYXLg5S2lvx
sEOcWWqTe/kwN3xx7/2DKMykYZcNR4gi9VLSJzMjUCTG1/oV9rJG30r3cLF5f/Zf
NDlJz4F01IKSy+7Sh4d7OIMHiKuwf9THAm8RyIHXJfQR/ZMbMUiAQtWVGXOeo59I
UfgsxqXMLRNO4IhewMPXFmzjLz245V7ylWOZIvnco3TB8Qaqec+paJfMy1dW3J8I
nk7/NOdyUyqgoWn1bcIFp20CAwEAAQ==
-----END PUBLIC KEY-----
`

// holdsRSAKey says whether the server has sent a key that the driver can use:
// it would panic at one of another kind.
func holdsRSAKey(b []byte) bool {
	block, _ := pem.Decode(b)
	if block == nil {
		return false
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return false
	}
	public, ok := key.(*rsa.PublicKey)
	return ok && public.N.BitLen() <= 16384
}
