package record

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"dialtone/internal/keyring"
	"dialtone/internal/secret"
)

// The tables that hold sealed values.
const (
	TableTests     = "tests"
	TableJobs      = "jobs"
	TableKeys      = "request_keys"
	TableCanary    = "keycheck"
	TableLedgerKey = "ledgerkey"
)

// SealedRow is a sealed value as a step of a reseal reads it.
type SealedRow struct {
	// A and B are the row's key: the batch and the id of a test, the project
	// and the id of a job, the project and the key of a request.
	A, B   string
	Sealed []byte
}

func (r SealedRow) place(table string) []byte {
	switch table {
	case TableTests:
		return testPlace(r.A, r.B)
	case TableJobs:
		return jobPlace(r.A, r.B)
	case TableKeys:
		return keyPlace(r.A, r.B)
	case TableLedgerKey:
		return ledgerPlace()
	default:
		return canaryPlace()
	}
}

// Fresh is a value sealed anew.
type Fresh struct {
	SealedRow
	Anew []byte
}

// Renew seals with the primary key those of the rows that are not, and counts
// those that no key opens.
func (s Sealer) Renew(table string, rows []SealedRow, step *keyring.Step) ([]Fresh, error) {
	primary, _ := s.box.KeyIDs()
	var fresh []Fresh
	for _, r := range rows {
		if by, ok := secret.SealedBy(r.Sealed); r.Sealed == nil || ok && by == primary {
			continue
		}
		place := r.place(table)
		plain, err := s.box.Open(r.Sealed, place)
		if err != nil {
			step.Add(keyring.Step{Unopened: map[string]int{table: 1}})
			continue
		}
		anew, err := s.box.Seal(plain, place)
		if err != nil {
			return nil, err
		}
		fresh = append(fresh, Fresh{SealedRow: r, Anew: anew})
	}
	return fresh, nil
}

// CheckFence is what a store says of a keyset: of its canary, the key of its
// ledger, which may be missing, and whether the primary key is retired.
func (s Sealer) CheckFence(canary, ledger []byte, retired bool) error {
	if err := s.CheckCanary(canary); err != nil {
		return fmt.Errorf("check keys: %w", err)
	}
	if ledger != nil {
		if _, err := s.OpenLedgerKey(ledger); err != nil {
			return fmt.Errorf("check keys: %w", err)
		}
	}
	if retired {
		primary, _ := s.box.KeyIDs()
		return fmt.Errorf("check keys: key %d: %w", primary, keyring.ErrRetired)
	}
	return nil
}

// Hold says that something is about to be sealed and stored: see
// secret.Box.Hold.
func (s Sealer) Hold() (release func()) { return s.box.Hold() }

// Box is what seals.
func (s Sealer) Box() *secret.Box { return s.box }

// ResealPlace is where a reseal is, as keyring.Step.Next has it.
type ResealPlace struct {
	Table int
	// After is the last row that was looked at; empty before the first.
	After [2]string
}

// Next is the place after this one: in the same table if it may hold more.
func (p ResealPlace) Next(more bool, tables int) string {
	if !more {
		p = ResealPlace{Table: p.Table + 1}
	}
	if p.Table >= tables {
		return ""
	}
	text, _ := json.Marshal(p) // a number and texts
	return string(text)
}

// InLockOrder sorts by the second part of the key, which is a test's id.
func InLockOrder(fresh []Fresh) {
	slices.SortFunc(fresh, func(a, b Fresh) int { return cmp.Compare(a.B, b.B) })
}
