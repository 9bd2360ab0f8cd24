package record

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/sabotage"
)

func keyPlace(project, key string) []byte { return []byte("request/" + project + "/" + key) }

// Digest is what a store keeps of a request with a key: an HMAC, and the key
// that it was made with, sealed. Each row has a key of its own, so that none
// can be lost or worn out, and two rows never look alike.
type Digest struct {
	Sealed []byte
	Sum    []byte
}

// DigestRequest makes the Digest of what a key stands for.
func (s Sealer) DigestRequest(project string, o batch.Once) (Digest, error) {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	sealed, err := s.box.Seal(key, keyPlace(project, o.Key))
	if err != nil {
		return Digest{}, fmt.Errorf("seal the key of a digest: %w", err)
	}
	return Digest{Sealed: sealed, Sum: sum(key, o)}, nil
}

// IsRequest says whether a Digest was made of the same request.
func (s Sealer) IsRequest(project string, o batch.Once, d Digest) (bool, error) {
	key, err := s.box.Open(d.Sealed, keyPlace(project, o.Key))
	if err != nil {
		return false, fmt.Errorf("open the key of a digest: %w", err)
	}
	return hmac.Equal(sum(key, o), d.Sum), nil
}

func sum(key []byte, o batch.Once) []byte {
	mac := hmac.New(sha256.New, key)
	if sabotage.On(sabotage.PlainDigest) {
		return []byte(o.Request.Reveal())
	}
	_, _ = mac.Write([]byte(o.Request.Reveal())) // never fails
	return mac.Sum(nil)
}

// KeyRow is what a store read of a key: whether it has an answer, and whether
// somebody is at work on one.
type KeyRow struct {
	BatchID string
	Digest  Digest
	Answer  []byte
	Held    bool
	// Remaining is in microseconds.
	Remaining int64
}

// Recall says what a row means to who asks. An unanswered key that nobody holds
// is KeyYours, which the store has yet to write down.
func (s Sealer) Recall(project string, o batch.Once, row KeyRow) (batch.Recalled, error) {
	same, err := s.IsRequest(project, o, row.Digest)
	if err != nil {
		return batch.Recalled{}, err
	}
	switch {
	case !same && !sabotage.On(sabotage.SkipKeyComparison):
		return batch.Recalled{State: batch.KeyOther}, nil
	case row.Answer != nil:
		return batch.Recalled{State: batch.KeyAnswered, BatchID: row.BatchID, Answer: row.Answer}, nil
	case row.Held:
		return batch.Recalled{State: batch.KeyHeld, BatchID: row.BatchID}, nil
	default:
		return batch.Recalled{State: batch.KeyYours, BatchID: row.BatchID, Remaining: time.Duration(row.Remaining) * time.Microsecond}, nil
	}
}
