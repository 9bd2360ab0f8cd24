// Package keyring keeps the keyset of running processes: each reads it again
// when its file changes, tells the store which keys it has, and ends when they
// do not open what the store holds; and a key is added, promoted, and taken out
// again in steps that are refused as long as they would leave somebody, or
// something, behind. It knows no SQL: a store is what its interfaces say.
package keyring

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"dialtone/internal/secret"
)

// ErrRetired means that a keyset's primary key was taken out of service: what
// is sealed with it nobody else can open.
var ErrRetired = errors.New("the keyset's primary key was removed from service")

// Refused says whether the error means that the keyset does not fit the store,
// which no later try mends.
func Refused(err error) bool { return errors.Is(err, secret.ErrOpen) || errors.Is(err, ErrRetired) }

// Holder is what a process tells of its keys.
type Holder struct {
	Process string
	// Primary is the key that it seals with; 0 if the process tells nothing of
	// its keys, because it is older than this program.
	Primary uint32
	// Keys are all that it opens with.
	Keys []uint32
	// Sealing are those that something may be sealed with which it has not
	// stored yet: the primary key, and a former one for a moment.
	Sealing []uint32
	// Needed are those that its own files are sealed with, beside the store.
	Needed []uint32
	// Reloads says that it reads its keyset again when that changes; one that
	// was given its keyset in a variable has to be restarted.
	Reloads bool
	// Age is how long ago it was heard of. The store sets it.
	Age time.Duration
}

// Mark is what a store remembers of a key.
type Mark string

// The marks: the key that a rotation under way brings in, and one that was
// taken out and must not seal again.
const (
	Rotating Mark = "rotating"
	Retired  Mark = "retired"
)

// Registry is where processes tell of their keys.
type Registry interface {
	// ReportKeys notes what a process has, in place of what it told before, and
	// forgets processes that have not been heard of for an hour.
	ReportKeys(ctx context.Context, h Holder) error
	// WithdrawKeys forgets a process.
	WithdrawKeys(ctx context.Context, process string) error
	// KeyHolders lists who was heard of within the hour, by name.
	KeyHolders(ctx context.Context) ([]Holder, error)
}

// Fence keeps keysets out that do not fit. Who starts reports its keys and then
// asks CheckKeyset; who changes a key changes the fence and then asks
// KeyHolders: so one of the two sees the other.
type Fence interface {
	// CheckKeyset errs with secret.ErrOpen if the box does not open what the
	// store holds, and with ErrRetired if it would seal with a retired key.
	CheckKeyset(ctx context.Context, box *secret.Box) error
	// SealFence has the store's keyset, with its primary key of now, be what
	// CheckKeyset asks for.
	SealFence(ctx context.Context) error
	// MarkKey marks a key in place of any other mark of it; "" unmarks it.
	MarkKey(ctx context.Context, id uint32, mark Mark) error
	// KeyMarks lists the marked keys.
	KeyMarks(ctx context.Context) (map[uint32]Mark, error)
}

// Vault is what is sealed.
type Vault interface {
	// CountSealed counts the sealed values by table and key.
	CountSealed(ctx context.Context) (Census, error)
	// Reseal looks at up to limit sealed values after the place that the last
	// step gave, "" for the first, and seals with the primary key those that
	// are not. Values that change meanwhile are left to who changes them.
	Reseal(ctx context.Context, after string, limit int) (Step, error)
}

// Store is a store as a rotation needs it.
type Store interface {
	Registry
	Fence
	Vault
}

// Step is what a step of Reseal did.
type Step struct {
	// Resealed counts what was sealed anew, by table.
	Resealed map[string]int
	// Unopened counts what no key of ours opens, by table.
	Unopened map[string]int
	// Next is where the next step begins; "" when there is nothing left.
	Next string
}

// Add adds another step's counts, and leaves Next alone.
func (s *Step) Add(other Step) {
	add := func(to *map[string]int, from map[string]int) {
		if *to == nil {
			*to = map[string]int{}
		}
		for table, n := range from {
			(*to)[table] += n
		}
	}
	add(&s.Resealed, other.Resealed)
	add(&s.Unopened, other.Unopened)
}

// Total adds up what was sealed anew.
func (s *Step) Total() int { return sum(s.Resealed) }

func sum(counts map[string]int) int {
	n := 0
	for _, of := range counts {
		n += of
	}
	return n
}

// Census is how many values of each table each key has sealed.
type Census map[string]map[uint32]int

// Put notes a count.
func (c Census) Put(table string, key uint32, n int) {
	if c[table] == nil {
		c[table] = map[uint32]int{}
	}
	c[table][key] += n
}

// Of counts, by table, what a key has sealed.
func (c Census) Of(key uint32) map[string]int {
	found := map[string]int{}
	for table, counts := range c {
		if n := counts[key]; n > 0 {
			found[table] = n
		}
	}
	return found
}

// Keys lists the keys that have sealed something.
func (c Census) Keys() []uint32 {
	all := map[uint32]bool{}
	for _, counts := range c {
		for key, n := range counts {
			if n > 0 {
				all[key] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Tables lists the tables of counts, in order.
func Tables(counts map[string]int) []string { return slices.Sorted(maps.Keys(counts)) }
