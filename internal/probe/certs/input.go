package certs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"dialtone/internal/secret"
)

// decode gives the input text and its content.
func decode(encoded secret.Text) (text string, content []byte, err error) {
	text = encoded.Reveal()
	if len(text) > maxEncoded {
		return "", nil, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, maxEncoded)
	}
	if strings.Contains(text, pemBegin) {
		return text, []byte(text), nil
	}
	plain := compact.Replace(text)
	if plain == "" {
		return "", nil, ErrEmpty
	}
	content, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(plain, "="))
	switch {
	case err != nil:
		// The error names an offset only, never the content.
		return "", nil, fmt.Errorf("%w: %w", ErrNotBase64, err)
	case len(content) == 0:
		return "", nil, ErrEmpty
	}
	return text, content, nil
}

// compact brings Base64 to one line of one alphabet.
//
//nolint:gochecknoglobals // a constant table
var compact = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "", "-", "+", "_", "/")

// ChecksumError is a checksum that does not fit. The checksums in it are
// public: they say nothing of what they were computed over.
type ChecksumError struct {
	// Given is the checksum as it was compared: lower case, and cut.
	Given string
	// Content is the SHA-256 of the content, Base64 that of the text it came in.
	Content, Base64 string
	// Algorithm is the one that a checksum of Given's length belongs to, such
	// as MD5; empty when it is SHA-256, or none.
	Algorithm string
}

func (e *ChecksumError) Error() string {
	if e.Algorithm != "" {
		return fmt.Sprintf("%v: it has the length of an %s, not of a SHA-256", ErrChecksum, e.Algorithm)
	}
	return fmt.Sprintf("%v: SHA-256 of the content %s, of the Base64 text %s", ErrChecksum, e.Content, e.Base64)
}

// Unwrap says what kind of fault it is.
func (e *ChecksumError) Unwrap() error { return ErrChecksum }

// compare holds a checksum against everything that a caller may have computed
// it over.
func compare(checksum, text string, content []byte) error {
	given := checksumOf(checksum)
	if given == "" {
		return nil
	}
	oneLine := strings.Join(strings.Fields(text), "")
	all := []string{sum(content), sum([]byte(text)), sum([]byte(oneLine))}
	if slices.Contains(all, given) {
		return nil
	}
	return &ChecksumError{Given: cut(given), Content: all[0], Base64: all[1], Algorithm: otherAlgorithm(given)}
}

// checksumOf brings a checksum to one form: without the file name that sha256sum
// writes behind it, and without the colons that openssl writes into it.
func checksumOf(text string) string {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return ""
	}
	return strings.ToLower(strings.ReplaceAll(fields[0], ":", ""))
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// cut keeps what a report may hold of a foreign checksum.
func cut(given string) string {
	const longest = 128 // SHA-512
	return given[:min(len(given), longest)]
}

// otherAlgorithm names the usual algorithm whose checksums have this length.
func otherAlgorithm(given string) string {
	if _, err := hex.DecodeString(given); err != nil {
		return ""
	}
	return map[int]string{32: "MD5", 40: "SHA-1", 56: "SHA-224", 96: "SHA-384", 128: "SHA-512"}[len(given)]
}
