// Package record is what the stores do alike, whatever their dialect: it seals
// what is secret, turns tests into what a row holds and back, and says how a
// list is cut into pages. It knows no database and runs no statement.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
	"dialtone/internal/secret"
)

// What is sealed is bound to its row: moved to another one it does not open.
func testPlace(batchID, testID string) []byte {
	return sabotage.Swap(sabotage.SealAnywhere, []byte(batchID+"/"+testID), nil)
}

func jobPlace(project, id string) []byte { return []byte("job/" + project + "/" + id) }
func canaryPlace() []byte                { return []byte("keycheck") }

// Sealer seals what a store keeps secret, and opens it again: in
// every store in the same form, bound to the row it belongs to.
type Sealer struct{ box *secret.Box }

// NewSealer makes a Sealer of a Box.
func NewSealer(box *secret.Box) Sealer { return Sealer{box: box} }

// SealTest seals a test's secrets; nil when it has none.
func (s Sealer) SealTest(batchID, testID string, secrets probe.Secrets) ([]byte, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	plain, err := json.Marshal(secrets)
	if err != nil {
		return nil, fmt.Errorf("encode secrets: %w", err)
	}
	if sabotage.On(sabotage.StoreInTheClear) {
		return plain, nil
	}
	sealed, err := s.box.Seal(plain, testPlace(batchID, testID))
	if err != nil {
		return nil, fmt.Errorf("seal secrets: %w", err)
	}
	return sealed, nil
}

// OpenTest is the reverse of SealTest.
func (s Sealer) OpenTest(batchID, testID string, sealed []byte) (probe.Secrets, error) {
	if sealed == nil {
		return nil, nil
	}
	plain, err := s.box.Open(sealed, testPlace(batchID, testID))
	if sabotage.On(sabotage.StoreInTheClear) {
		plain, err = sealed, nil
	}
	if err != nil {
		return nil, err
	}
	var secrets probe.Secrets
	if err := json.Unmarshal(plain, &secrets); err != nil {
		return nil, errors.New("sealed secrets are not what was sealed") // the decoder's text may quote them
	}
	return secrets, nil
}

// SealJob seals a job's endpoints; nil when it has none.
func (s Sealer) SealJob(r job.Record) ([]byte, error) {
	if len(r.Endpoints) == 0 {
		return nil, nil
	}
	sealed, err := s.box.Seal(r.Endpoints, jobPlace(r.Project, r.ID))
	if err != nil {
		return nil, fmt.Errorf("seal endpoints: %w", err)
	}
	return sealed, nil
}

// OpenJob is the reverse of SealJob.
func (s Sealer) OpenJob(project, id string, sealed []byte) (json.RawMessage, error) {
	if sealed == nil {
		return nil, nil
	}
	return s.box.Open(sealed, jobPlace(project, id))
}

// SealCanary seals what tells the next process whether it has the right keys.
func (s Sealer) SealCanary() ([]byte, error) { return s.box.Seal([]byte("canary"), canaryPlace()) }

// CheckCanary errs with secret.ErrOpen when the canary was sealed under other
// keys.
func (s Sealer) CheckCanary(sealed []byte) error {
	if _, err := s.box.Open(sealed, canaryPlace()); err != nil {
		return fmt.Errorf("the store was filled under another keyset: %w", err)
	}
	return nil
}

// secretNames lists what is set, in order.
func secretNames(secrets probe.Secrets) []string {
	names := make([]string, 0, len(secrets))
	for name := range secrets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
