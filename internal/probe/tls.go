package probe

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"dialtone/internal/sabotage"
)

// CertificateError is a server certificate that the asked strictness refuses.
type CertificateError struct {
	Code Code
	Err  error
}

func (e *CertificateError) Error() string { return fmt.Sprintf("%s: %v", e.Code, e.Err) }

func (e *CertificateError) Unwrap() error { return e.Err }

// TLSConfig gives the client configuration for the session's handshake, or nil
// when the target asked for a plain connection. The certificate is judged by
// our own VerifyConnection in every mode, because it is the only place that
// keeps the typed verdict: drivers turn it into text. A driver may add to
// VerifyConnection, but must call the one it finds.
func (s *Session) TLSConfig() *tls.Config {
	if s.Target.TLS == nil {
		return nil
	}
	return &tls.Config{
		ServerName:         s.Address.Host,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // verified below, in VerifyConnection
		VerifyConnection:   s.verifyConnection,
		// Not Certificates: what is there would be withheld from a server that
		// names other issuers, and then it could not say what it thinks of it.
		GetClientCertificate: s.clientCertificate,
	}
}

// clientCertificate answers a server that wants to know who we are.
func (s *Session) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	s.askedAt.Store(s.edge.Evidence().BytesIn)
	if s.run.client == nil {
		s.Fact("client_certificate", "requested")
		if s.run.unusable != "" {
			s.Fact("client_certificate_fault", string(s.run.unusable))
		}
		return &tls.Certificate{}, nil
	}
	s.Fact("client_certificate", "presented")
	return s.run.client, nil
}

// ProvesServer says whether a handshake that was accepted proves that the server
// is the one meant: by the name in its certificate, or by the caller's own
// authority. The system's roots without the name do not: whoever owns any name
// at all gets a certificate under them. A plain connection proves nothing.
func (t *Target) ProvesServer() bool {
	switch {
	case sabotage.On(sabotage.TrustAnyServer):
		return true
	case t.TLS == nil || t.TLS.Verify == VerifyNone:
		return false
	case t.TLS.Verify == VerifyFull:
		return true
	default:
		return t.TLS.Certificate.IsSet() || t.Kafka != nil && t.Kafka.TrustStore.IsSet()
	}
}

// verifyConnection judges the handshake once at full strictness, and then
// fails or warns as the target's own strictness demands.
func (s *Session) verifyConnection(state tls.ConnectionState) error {
	mode := s.Target.TLS.Verify
	if mode == "" {
		mode = VerifyCA
	}
	if len(state.PeerCertificates) == 0 {
		s.trace.enter(PhaseTLS)
		return &CertificateError{Code: CodeTLSHandshake, Err: errors.New("the server sent no certificate")}
	}
	verdict := judgeCertificates(state.PeerCertificates, s.run.roots, s.Address.Host, time.Now())
	evidence := describeTLS(state, mode, verdict)
	evidence.clean(s.printable)
	s.trace.note(func(e *Evidence) { e.TLS = evidence })
	if code := verdict.modes.at(mode); code != CodeOK && !sabotage.On(sabotage.TrustAnyCertificate) {
		s.trace.enter(PhaseTLS)
		return &CertificateError{Code: code, Err: verdict.cause}
	}
	for _, code := range append(verdict.warnings, verdict.modes.Full) {
		if code != CodeOK {
			s.trace.warn(PhaseTLS, code) // the last, and gravest, is that of the phase
		}
	}
	return nil
}

// describeTLS says what there was. Its texts are the server's, as they came.
func describeTLS(state tls.ConnectionState, mode Verify, verdict certificateVerdict) *TLSEvidence {
	leaf := state.PeerCertificates[0]
	names := append([]string(nil), leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	sum := sha256.Sum256(leaf.Raw)
	return &TLSEvidence{
		Version: tls.VersionName(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite),
		Mode: mode, Verdict: verdict.modes.Full, Modes: verdict.modes, Findings: verdict.findings,
		Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Names: cutNames(names),
		NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(),
		DaysLeft: int(math.Floor(time.Until(leaf.NotAfter).Hours() / 24)),
		SHA256:   hex.EncodeToString(sum[:]),
	}
}

// cutNames keeps the first sixteen names: a certificate may carry thousands.
func cutNames(names []string) []string {
	const most = 16
	return names[:min(len(names), most)]
}

// clean makes every text that the server wrote fit for a report. A certificate
// may be made for one caller, with a secret of the caller's for its name.
func (e *TLSEvidence) clean(scrub func(string) string) {
	e.Subject, e.Issuer = scrub(e.Subject), scrub(e.Issuer)
	for i := range e.Names {
		e.Names[i] = scrub(e.Names[i])
	}
	for i := range e.Findings {
		f := &e.Findings[i]
		f.Subject, f.Issuer, f.IssuerKeyID, f.Detail = scrub(f.Subject), scrub(f.Issuer), scrub(f.IssuerKeyID), scrub(f.Detail)
	}
}
