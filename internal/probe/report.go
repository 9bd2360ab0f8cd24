package probe

import (
	"time"

	"dialtone/internal/sabotage"
)

// Phase is a stage of a connection test.
type Phase string

// The phases in the order in which a report lists them. A protocol that
// greets before it encrypts passes "protocol" before "tls"; the list stays.
const (
	PhaseInput    Phase = "input"    // the request itself: certificates, checksum, job
	PhasePolicy   Phase = "policy"   // may this address be dialled from here?
	PhaseResolve  Phase = "resolve"  // name to addresses
	PhaseConnect  Phase = "connect"  // TCP
	PhaseTLS      Phase = "tls"      // encryption and the server's certificate
	PhaseProtocol Phase = "protocol" // is it that database, and does it talk to us?
	PhaseLogin    Phase = "login"    // credentials
	PhaseSession  Phase = "session"  // the database named, the lightest statement
	PhaseTopology Phase = "topology" // the other members that clients will need
)

// Phases lists every phase in order.
func Phases() []Phase {
	return []Phase{
		PhaseInput, PhasePolicy, PhaseResolve, PhaseConnect, PhaseTLS,
		PhaseProtocol, PhaseLogin, PhaseSession, PhaseTopology,
	}
}

// State is how a phase ended.
type State string

// The states of a phase.
const (
	Passed     State = "passed"
	Failed     State = "failed"
	Warned     State = "warned"      // passed, with something to look at
	Skipped    State = "skipped"     // not needed for this target
	NotReached State = "not_reached" // an earlier phase failed
)

// PhaseResult is one row of a report.
type PhaseResult struct {
	Phase Phase `json:"phase"`
	State State `json:"state"`
	// Code says why a phase failed or warned.
	Code Code `json:"code,omitempty"`
	// StartMS is when the phase began, DurationMS how long it took, in
	// milliseconds, both zero for a phase that was not run.
	StartMS    float64 `json:"start_ms"`
	DurationMS float64 `json:"duration_ms"`
}

// Report is the answer of one test: what happened, and how that is known.
type Report struct {
	// Code is CodeOK, or why the test failed.
	Code Code `json:"code"`
	// Phase is the phase that failed, empty when none did.
	Phase    Phase         `json:"phase,omitempty"`
	Phases   []PhaseResult `json:"phases"`
	Evidence Evidence      `json:"evidence"`
	// Addresses says how far each listed address came; Strict is true when all
	// of them were proven. One proven address is enough for Code to be ok.
	Addresses []AddressResult `json:"addresses,omitempty"`
	Strict    bool            `json:"strict"`
	// LoginSent is true once credentials may have left: no retry after that.
	LoginSent  bool      `json:"login_sent"`
	StartedAt  time.Time `json:"started_at"`
	DurationMS float64   `json:"duration_ms"`
	// Attempts counts the probes made for this test, this one included.
	Attempts int `json:"attempts,omitempty"`
	// SharedFrom and SameAs name the test whose probe answered this one too.
	SharedFrom string `json:"shared_from,omitempty"`
	SameAs     string `json:"same_as,omitempty"`
	// Waits are what came before the probe.
	Waits Waits `json:"waits,omitzero"`
}

// Waits are how long a test was kept back to spare others. They are no part of
// the probe's own time.
type Waits struct {
	// ShareMS is the wait for the project's share of probes.
	ShareMS float64 `json:"share_ms,omitempty"`
	// SlotMS is the wait until the endpoint and the account were free.
	SlotMS float64 `json:"slot_ms,omitempty"`
}

// Shareable says whether the report is true of every test of the endpoint that
// is made from the same place: later phases depend on what a test asks for.
func (r Report) Shareable() bool {
	phase := r.Code.Verdict().Phase
	return (!r.LoginSent || sabotage.On(sabotage.ShareLogins)) && (phase == PhaseResolve || phase == PhaseConnect)
}

// OK says whether the endpoint works.
func (r Report) OK() bool { return r.Code == CodeOK }

// Refused makes the report of a test that never began: every phase before the
// one that failed is skipped, those after it are not reached.
func Refused(code Code, at time.Time) Report {
	r := Report{Code: code, Phase: code.Verdict().Phase, StartedAt: at.UTC()}
	before := r.Phase != ""
	for _, p := range Phases() {
		row := PhaseResult{Phase: p, State: NotReached}
		switch {
		case p == r.Phase:
			row.State, row.Code, before = Failed, code, false
		case before:
			row.State = Skipped
		}
		r.Phases = append(r.Phases, row)
	}
	return r
}

// AddressResult is how far one address of a list came.
type AddressResult struct {
	Address string `json:"address"`
	Code    Code   `json:"code"`
	// Reached is the last phase that passed.
	Reached Phase `json:"reached,omitempty"`
}

// Evidence is what was seen on the way. Nothing in it is a secret: texts that
// come from the other side are scrubbed and cut.
type Evidence struct {
	// Address is the IP address and port that was used.
	Address string `json:"address,omitempty"`
	// Local is our own address as this machine saw it.
	Local string `json:"local,omitempty"`
	// Resolver and Resolved tell who resolved the name, and to what.
	Resolver string   `json:"resolver,omitempty"`
	Resolved []string `json:"resolved,omitempty"`
	// Dials lists every TCP connection attempted.
	Dials []DialEvidence `json:"dials,omitempty"`
	TLS   *TLSEvidence   `json:"tls,omitempty"`
	// Product and Version are what the server says it is.
	Product string `json:"server_product,omitempty"`
	Version string `json:"server_version,omitempty"`
	// LooksLike names the product whose first bytes these were, when it was
	// not the one asked for.
	LooksLike string `json:"looks_like,omitempty"`
	// Mechanism is how the login was authenticated.
	Mechanism string `json:"auth_mechanism,omitempty"`
	// ServerCode and ServerText are the server's own error.
	ServerCode string `json:"server_error_code,omitempty"`
	ServerText string `json:"server_error_text,omitempty"`
	// Warnings are codes of phases that passed with something to look at.
	Warnings []Code `json:"warnings,omitempty"`
	// Members are the addresses that the server named and that were tested.
	Members []MemberResult `json:"members,omitempty"`
	// Facts are an engine's own findings, by documented snake_case names.
	Facts    map[string]string `json:"facts,omitempty"`
	BytesIn  int64             `json:"bytes_in"`
	BytesOut int64             `json:"bytes_out"`
}

// setFact notes a text that is fit for evidence.
func (e *Evidence) setFact(name, value string) {
	if e.Facts == nil {
		e.Facts = map[string]string{}
	}
	e.Facts[name] = value
}

// DialEvidence is one TCP connection attempted.
type DialEvidence struct {
	Address    string  `json:"address"`
	Code       Code    `json:"code"`
	DurationMS float64 `json:"duration_ms"`
}

// TLSEvidence describes the handshake and the server's certificate.
type TLSEvidence struct {
	Version string `json:"version"`
	Cipher  string `json:"cipher"`
	// Mode is the strictness asked for; Verdict is what the strictest would
	// have said.
	Mode    Verify `json:"mode"`
	Verdict Code   `json:"verdict"`
	// Modes is what each strictness would have said; Findings is why, and what
	// else there is to look at in the certificates.
	Modes     TLSModes     `json:"modes,omitzero"`
	Findings  []TLSFinding `json:"findings,omitempty"`
	Subject   string       `json:"subject"`
	Issuer    string       `json:"issuer"`
	Names     []string     `json:"names,omitempty"`
	NotBefore time.Time    `json:"not_before"`
	NotAfter  time.Time    `json:"not_after"`
	// DaysLeft until the certificate expires, negative once it has.
	DaysLeft int `json:"days_left"`
	// SHA256 is the certificate's fingerprint in hex.
	SHA256 string `json:"sha256"`
}

// TLSModes is what the steps of strictness say of one handshake.
type TLSModes struct {
	None Code `json:"none"`
	CA   Code `json:"ca"`
	Full Code `json:"full"`
}

// at gives what the step that was asked for says.
func (m TLSModes) at(mode Verify) Code {
	switch mode {
	case VerifyNone:
		return m.None
	case VerifyFull:
		return m.Full
	default:
		return m.CA
	}
}

// TLSFinding is one thing to look at in the certificates of a server.
type TLSFinding struct {
	Code Code `json:"code"`
	// Subject is the certificate that it is about.
	Subject string `json:"subject,omitempty"`
	// Issuer and IssuerKeyID, in hex, are the authority that is missing.
	Issuer      string `json:"issuer,omitempty"`
	IssuerKeyID string `json:"issuer_key_id,omitempty"`
	// Days since it expired, or until it is valid.
	Days int `json:"days,omitempty"`
	// Detail is a word on it in English, such as the algorithm.
	Detail string `json:"detail,omitempty"`
}
