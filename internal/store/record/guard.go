package record

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
	"dialtone/internal/secret"
)

// Guard is what a test's row holds for the guard: whom the probe meets, as
// digests, because the rules only ever ask whether two are the same.
type Guard struct {
	// Peers are the endpoints as seen from the test's network, each once.
	Peers []string
	// Account is whom it logs in as; empty when it has no credentials.
	Account string
	// Credentials are keyed digests of the credential, one for each peer.
	Credentials []string
	// Share is equal for tests to which a failure to connect says the same.
	Share string
}

// LedgerKey makes the digests of credentials. It is drawn once for a store and
// kept there sealed, so that it outlives every key of the keyset.
type LedgerKey []byte

func ledgerPlace() []byte { return []byte("ledgerkey") }

// NewLedgerKey draws a key and seals it.
func (s Sealer) NewLedgerKey() ([]byte, error) {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return s.SealLedgerKey(key)
}

// SealLedgerKey seals the key, with the keyset's primary key of this moment.
func (s Sealer) SealLedgerKey(key LedgerKey) ([]byte, error) { return s.box.Seal(key, ledgerPlace()) }

// OpenLedgerKey is the reverse.
func (s Sealer) OpenLedgerKey(sealed []byte) (LedgerKey, error) {
	key, err := s.box.Open(sealed, ledgerPlace())
	if err != nil {
		return nil, fmt.Errorf("open the key of the ledger: %w", err)
	}
	return key, nil
}

// Guard makes a test's Guard.
func (k LedgerKey) Guard(t batch.Test) Guard {
	var g Guard
	target := t.Target
	share := []string{"share", t.Network, target.Network, target.DNS.String()}
	if target.User != "" || target.Password.IsSet() {
		// Some servers fold the names of accounts and some do not; a lock is
		// worse than two names that share a budget.
		g.Account = digest("account", strings.ToLower(target.User))
	}
	for _, a := range target.Addresses {
		host := strings.TrimSuffix(strings.ToLower(a.Host), ".")
		endpoint := digest("endpoint", t.Network, host, strconv.Itoa(int(a.Port)))
		share = append(share, endpoint)
		if slices.Contains(g.Peers, endpoint) {
			continue
		}
		g.Peers = append(g.Peers, endpoint)
		if g.Account != "" {
			g.Credentials = append(g.Credentials, k.credential(endpoint, target.User, target.Password))
		}
	}
	g.Share = digest(share...)
	return g
}

// credential tells a credential from others at one endpoint, and nothing more:
// not whether it is in use elsewhere, nor, without the key, what it may be.
func (k LedgerKey) credential(endpoint, user string, password secret.Text) string {
	mac := hmac.New(sha256.New, k)
	_, _ = mac.Write(framed("credential", endpoint, user, password.Reveal()))
	return name(mac.Sum(nil))
}

// digest names a list of texts in a form that a UUID column takes.
func digest(parts ...string) string {
	sum := sha256.Sum256(framed(parts...))
	return name(sum[:])
}

// name cuts a digest to the 128 bits that a UUID has.
func name(sum []byte) string { return hex.EncodeToString(sum[:16]) }

// framed puts texts together so that no two lists look the same.
func framed(parts ...string) []byte {
	var all []byte
	for _, p := range parts {
		all = binary.BigEndian.AppendUint32(all, uint32(len(p))) //nolint:gosec // a request's size is bounded
		all = append(all, p...)
	}
	return all
}

// Outcome is what the ledger notes of a login.
type Outcome string

// The outcomes.
const (
	Refused Outcome = "refused"
	Unknown Outcome = "unknown"
	Passed  Outcome = "passed"
)

// LoginOutcome is what a report says of its login; false when none was sent.
func LoginOutcome(r probe.Report) (Outcome, bool) {
	if !r.LoginSent {
		return "", false
	}
	switch r.Code {
	case probe.CodeAuthFailed, probe.CodeAccountLocked:
		return sabotage.Swap(sabotage.ForgetRefusals, Refused, Passed), true
	case probe.CodeTimeoutHandshake, probe.CodeConnectionLost, probe.CodeServerError, probe.CodePeerAbusive, probe.CodeProtocolMismatch,
		probe.CodeTimeoutNoReply, probe.CodeClosedNoReply, probe.CodeInterrupted, probe.CodeDeadlineExceeded, probe.CodeInternal:
		if r.Phase == probe.PhaseSession || r.Phase == probe.PhaseTopology {
			return Passed, true
		}
		return Unknown, true
	default:
		return Passed, true
	}
}

// refusal is how a row keeps a batch.Suppression; times are microseconds.
type refusal struct {
	Rule    string     `json:"rule"`
	Code    probe.Code `json:"code"`
	At      int64      `json:"at"`
	RetryAt int64      `json:"retry_at"`
}

// suppress reads a row's refusal into the claim; nil is none.
func suppress(c *batch.Claimed, raw []byte) error {
	if raw == nil {
		return nil
	}
	var r refusal
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("decode refusal: %w", err)
	}
	c.Suppressed = &batch.Suppression{
		Rule: batch.SuppressionRule(r.Rule), Reason: r.Code, At: time.UnixMicro(r.At).UTC(), RetryAt: time.UnixMicro(r.RetryAt).UTC(),
	}
	return nil
}
