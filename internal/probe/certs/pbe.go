package certs

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // what old stores are protected with
	"crypto/md5" //nolint:gosec // likewise
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"hash"
	"slices"
	"unicode/utf16"

	"dialtone/internal/secret"
)

// sealedInfo is an EncryptedPrivateKeyInfo of RFC 5208: what PEM calls ENCRYPTED
// PRIVATE KEY, PKCS#12 a shrouded bag, and a Java key store the key's entry.
type sealedInfo struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// kdfParams are those of PBKDF2 in RFC 8018.
type kdfParams struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// What a private key may be protected with.
//
//nolint:gochecknoglobals // object identifiers are constants
var (
	oidPBKDF2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidSHA1And3DES = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3} // RFC 7292
	oidJKS         = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1}
	oidJCEKS       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 19, 1} // PBEWithMD5AndTripleDES

	prfs = map[string]func() hash.Hash{
		"":                    sha1.New, // the default
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.8":  sha256.New224,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
		"1.2.840.113549.2.12": sha512.New512_224,
		"1.2.840.113549.2.13": sha512.New512_256,
	}
	blockCiphers = map[string]blockCipher{
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
	}
)

type blockCipher struct {
	keyLength int
	create    func(key []byte) (cipher.Block, error)
}

// openSealed decrypts a private key, with bounded work.
func openSealed(der []byte, password secret.Text) (signer, error) {
	if !writable(password) {
		return nil, ErrKeyPassword
	}
	var info sealedInfo
	if err := unmarshal(der, &info); err != nil {
		return nil, err
	}
	if len(info.Data) > maxKeyBytes {
		return nil, fmt.Errorf("%w: a private key of more than %d bytes", ErrInvalid, maxKeyBytes)
	}
	work := &effort{}
	if work.algorithm(info.Algorithm); work.err != nil {
		return nil, work.err
	}
	plain, err := decrypt(info, password)
	if err != nil {
		return nil, err
	}
	// Padding that is right by chance is not rare; a whole key is.
	var whole asn1.RawValue
	if rest, err := asn1.Unmarshal(plain, &whole); err != nil || len(rest) > 0 || whole.Tag != asn1.TagSequence {
		return nil, ErrKeyPassword
	}
	return parsePKCS8(plain)
}

func decrypt(info sealedInfo, password secret.Text) ([]byte, error) {
	switch id := info.Algorithm.Algorithm; {
	case id.Equal(oidPBES2):
		return decryptPBES2(info, password)
	case id.Equal(oidSHA1And3DES):
		return decryptPKCS12(info, password)
	case id.Equal(oidJKS):
		return decryptJKS(info.Data, password)
	case id.Equal(oidJCEKS):
		return decryptJCEKS(info, password)
	default:
		return nil, unsupported(id)
	}
}

func unsupported(id asn1.ObjectIdentifier) error {
	return fmt.Errorf("%w: the private key is protected by the algorithm %s, which is not supported", ErrInvalid, id)
}

// decryptPBES2 is that of RFC 8018, as openssl and Java use it today.
func decryptPBES2(info sealedInfo, password secret.Text) ([]byte, error) {
	var scheme schemeParams
	if err := unmarshal(info.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, err
	}
	if !scheme.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, unsupported(scheme.KDF.Algorithm)
	}
	var kdf kdfParams
	if err := unmarshal(scheme.KDF.Parameters.FullBytes, &kdf); err != nil {
		return nil, err
	}
	prf := prfs[kdf.PRF.Algorithm.String()]
	if prf == nil {
		return nil, unsupported(kdf.PRF.Algorithm)
	}
	box, known := blockCiphers[scheme.Scheme.Algorithm.String()]
	if !known {
		return nil, unsupported(scheme.Scheme.Algorithm)
	}
	if kdf.Iterations < 1 {
		return nil, fmt.Errorf("%w: %d key derivation rounds", ErrInvalid, kdf.Iterations)
	}
	key, err := pbkdf2.Key(prf, password.Reveal(), kdf.Salt, kdf.Iterations, box.keyLength)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return decryptCBC(box, key, scheme.Scheme.Parameters.Bytes, info.Data)
}

// decryptPKCS12 is that of RFC 7292 with SHA-1 and Triple DES, as older tools use it.
func decryptPKCS12(info sealedInfo, password secret.Text) ([]byte, error) {
	var params struct {
		Salt       []byte
		Iterations int
	}
	if err := unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, err
	}
	box, phrase := blockCiphers["1.2.840.113549.3.7"], zeroTerminated(password)
	key := derivePKCS12(forKey, params.Salt, phrase, params.Iterations, box.keyLength)
	iv := derivePKCS12(forIV, params.Salt, phrase, params.Iterations, des.BlockSize)
	return decryptCBC(box, key, iv, info.Data)
}

// decryptJKS is the protection that JKS has of its own: a stream of digests, and
// a digest of the key.
func decryptJKS(data []byte, password secret.Text) ([]byte, error) {
	if len(data) <= 2*sha1.Size {
		return nil, fmt.Errorf("%w: the private key is cut off", ErrInvalid)
	}
	phrase, end := javaPassword(password), len(data)-sha1.Size
	stream, plain := data[:sha1.Size], make([]byte, 0, end-sha1.Size)
	for sealed := data[sha1.Size:end]; len(sealed) > 0; {
		stream = javaDigest(phrase, stream)
		n := min(len(sealed), len(stream))
		for i := range n {
			plain = append(plain, sealed[i]^stream[i])
		}
		sealed = sealed[n:]
	}
	if subtle.ConstantTimeCompare(javaDigest(phrase, plain), data[end:]) != 1 {
		return nil, ErrKeyPassword
	}
	return plain, nil
}

// decryptJCEKS is Java's PBEWithMD5AndTripleDES: each half of the salt makes
// half of key and initialisation vector. (Java treats a salt of equal halves in
// a way of its own; by chance, that is one key in four thousand million.)
func decryptJCEKS(info sealedInfo, password secret.Text) ([]byte, error) {
	var params struct {
		Salt       []byte
		Iterations int
	}
	if err := unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil {
		return nil, err
	}
	const saltSize, longest = 8, 128
	phrase := []byte(password.Reveal())
	switch {
	case len(params.Salt) != saltSize:
		return nil, fmt.Errorf("%w: a salt of %d bytes", ErrInvalid, len(params.Salt))
	case len(phrase) > longest: // each round hashes it
		return nil, ErrKeyPassword
	}
	derived, round := make([]byte, 0, 2*md5.Size), md5.New() //nolint:gosec // see above
	for _, half := range [][]byte{params.Salt[:saltSize/2], params.Salt[saltSize/2:]} {
		state := append(make([]byte, 0, md5.Size), half...)
		for range params.Iterations {
			round.Reset()
			_, _ = round.Write(state)
			_, _ = round.Write(phrase)
			state = round.Sum(state[:0])
		}
		derived = append(derived, state...)
	}
	box := blockCiphers["1.2.840.113549.3.7"]
	if len(derived) != box.keyLength+des.BlockSize {
		return nil, fmt.Errorf("%w: %d key derivation rounds", ErrInvalid, params.Iterations)
	}
	return decryptCBC(box, derived[:box.keyLength], derived[box.keyLength:], info.Data)
}

// decryptCBC decrypts and takes the padding off, which shows a wrong password.
func decryptCBC(box blockCipher, key, iv, sealed []byte) ([]byte, error) {
	block, err := box.create(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	size := block.BlockSize()
	if len(iv) != size || len(sealed) == 0 || len(sealed)%size != 0 {
		return nil, fmt.Errorf("%w: the private key is not in whole blocks", ErrInvalid)
	}
	plain := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > size {
		return nil, ErrKeyPassword
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, ErrKeyPassword
		}
	}
	return plain[:len(plain)-pad], nil
}

// What a derivation of RFC 7292 appendix B.3 is for.
const (
	forKey = 1
	forIV  = 2
	forMAC = 3
)

// derivePKCS12 is the key derivation of RFC 7292 appendix B.2 with SHA-1.
func derivePKCS12(purpose byte, salt, phrase []byte, rounds, size int) []byte {
	const block = 64
	diversifier := make([]byte, block)
	for i := range diversifier {
		diversifier[i] = purpose
	}
	input := append(stretch(salt, block), stretch(phrase, block)...)
	var derived []byte
	for {
		a := sha1.Sum(slices.Concat(diversifier, input)) //nolint:gosec // see above
		for range rounds - 1 {
			a = sha1.Sum(a[:]) //nolint:gosec // see above
		}
		if derived = append(derived, a[:]...); len(derived) >= size {
			return derived[:size]
		}
		addToBlocks(input, stretch(a[:], block))
	}
}

// addToBlocks adds b and one to each block of input, as numbers.
func addToBlocks(input, b []byte) {
	for ; len(input) > 0; input = input[len(b):] {
		carry := uint(1)
		for i := len(b) - 1; i >= 0; i-- {
			carry += uint(input[i]) + uint(b[i])
			input[i] = byte(carry & 0xff)
			carry >>= 8
		}
	}
}

// zeroTerminated is a password as RFC 7292 hashes it.
func zeroTerminated(password secret.Text) []byte {
	return bigEndian(append(utf16.Encode([]rune(password.Reveal())), 0))
}

// signer is a private key that can make a signature, and be compared.
type signer interface {
	crypto.Signer
	Equal(x crypto.PrivateKey) bool
}
