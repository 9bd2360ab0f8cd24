package batch

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"dialtone/internal/sabotage"
	"dialtone/internal/secret"
)

// ErrKeyTaken is returned by CreateOnce when the project's key stands for
// another batch already. Nothing was stored.
var ErrKeyTaken = errors.New("the key is taken")

// How long a key counts, and how long a process that answers for one is taken
// to be alive after it last said so.
const (
	KeyLife = 24 * time.Hour
	keyHold = 5 * time.Second
)

// keepTimeout is how long a caller's answer is held up by being kept: it has two
// seconds from its batch's deadline, most of which reading the results may have
// taken where the store is slow.
const keepTimeout = 400 * time.Millisecond

// Once is a caller's wish that a request be carried out once, however often it
// is sent.
type Once struct {
	// Key is the caller's, and unique in its project.
	Key string
	// Request is what the key stands for, in the clear: it holds passwords. A
	// store keeps a keyed digest of it and nothing else.
	Request secret.Text
	// Holder is the process that answers; Hold is how long it is taken to be
	// at work without a word from it.
	Holder string
	Hold   time.Duration
	// Life is how long the key counts.
	Life time.Duration
}

// KeyState is what a store knows of a key.
type KeyState string

// The states. A key that is Free has no batch; one that is Yours has, nobody is
// at work on its answer, and from now on the asker is.
const (
	KeyFree     KeyState = "free"
	KeyOther    KeyState = "other" // it stands for another request
	KeyHeld     KeyState = "held"  // somebody is at work on the answer
	KeyYours    KeyState = "yours"
	KeyAnswered KeyState = "answered"
)

// Recalled is a key as it was found.
type Recalled struct {
	State   KeyState
	BatchID string
	// Remaining is the time until the batch's deadline, by the store's clock, and
	// negative once that has passed. It is said of a key that is Yours.
	Remaining time.Duration
	// Answer is what AnswerKey was given.
	Answer []byte
}

// KeyStore remembers what keys stand for. CreateOnce of the Creator makes a
// key, in the transaction that makes its batch.
type KeyStore interface {
	// RecallKey says what is known of the key, and gives the asker the hold on one
	// that has no answer and nobody at work on it.
	RecallKey(ctx context.Context, project string, o Once) (Recalled, error)
	// AnswerKey keeps an answer, unless there is one.
	AnswerKey(ctx context.Context, project, key string, answer []byte) error
	// RenewKeys extends the holds that the process has on the keys of these batches.
	RenewKeys(ctx context.Context, holder string, batchIDs []string, hold time.Duration) error
	// ReleaseKey ends the process's hold on a key.
	ReleaseKey(ctx context.Context, project, key, holder string) error
}

// Keys is a process's part in requests that are carried out once: it holds the
// keys that the process is answering for, and says each second that it lives.
type Keys struct {
	log    *slog.Logger
	store  KeyStore
	holder string
	every  time.Duration

	mu   sync.Mutex
	held map[string]int // by batch
}

// NewKeys wires Keys. holder names this process.
func NewKeys(log *slog.Logger, store KeyStore, holder string) *Keys {
	return &Keys{log: log, store: store, holder: holder, every: time.Second, held: map[string]int{}}
}

// Run renews the holds until ctx ends.
func (k *Keys) Run(ctx context.Context) error {
	every(ctx, k.every, k.renew)
	return nil
}

func (k *Keys) renew(ctx context.Context) {
	k.mu.Lock()
	ids := slices.Collect(maps.Keys(k.held))
	k.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	if err := k.store.RenewKeys(ctx, k.holder, ids, keyHold); err != nil && ctx.Err() == nil {
		k.log.WarnContext(ctx, "renew holds on keys", "error", err)
	}
}

// Once makes the wish of this process for a key.
func (k *Keys) Once(key string, request secret.Text) Once {
	return Once{Key: key, Request: request, Holder: k.holder, Hold: keyHold, Life: KeyLife}
}

// Recall says what is known of the key. On KeyYours, as after a Submit with
// it, the caller works on the answer: see Hold.
func (k *Keys) Recall(ctx context.Context, project string, o Once) (Recalled, error) {
	return k.store.RecallKey(ctx, project, o)
}

// Hold keeps others from answering for the batch's key. It returns what ends
// that: with an answer, which is kept, or with nil, and then the next who asks
// goes on with the batch.
func (k *Keys) Hold(project, key, batchID string) (end func(ctx context.Context, answer []byte)) {
	k.count(batchID, 1)
	return func(ctx context.Context, answer []byte) {
		k.count(batchID, -1)
		// The request may be over for its caller, but not for the next one.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
		defer cancel()
		var err error
		if answer == nil || sabotage.On(sabotage.ForgetAnswer) {
			err = k.store.ReleaseKey(ctx, project, key, k.holder)
		} else {
			err = k.store.AnswerKey(ctx, project, key, answer)
		}
		if err != nil { // the hold runs out, and the batch is there to answer from
			k.log.WarnContext(ctx, "answer not kept for a repeated request", "batch", batchID, "error", err)
		}
	}
}

func (k *Keys) count(batchID string, by int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[batchID] += by; k.held[batchID] <= 0 {
		delete(k.held, batchID)
	}
}
