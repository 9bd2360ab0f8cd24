package probe

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"dialtone/internal/egress"
)

// What crypto/tls says, which keeps its types of alerts and of most errors to
// itself. The tests hold each text against the version of Go in use.
const (
	textAlert         = "remote error: tls: "
	textVersionAlert  = textAlert + "protocol version not supported"
	textVersionPicked = "tls: server selected unsupported protocol version "
	textNoCommon      = textAlert + "handshake failure"
	textInsufficient  = textAlert + "insufficient security level"
	textCipherPicked  = "tls: server chose an unconfigured cipher suite"
)

// Alerts about a certificate that came from us, or did not come, if it was asked for.
//
//nolint:gochecknoglobals // a constant table
var certificateAlerts = []string{
	"bad certificate", "unsupported certificate", "revoked certificate", "expired certificate", "unknown certificate", // and authority
	"certificate required", "access denied", "error decrypting message",
}

// tlsCode judges an error of a handshake, or of the first words after one: with
// TLS 1.3 a server that dislikes our certificate says so only then.
func (s *Session) tlsCode(err error) Code {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return CodeTLSHandshake
	}
	text := err.Error()
	switch {
	case strings.Contains(text, textVersionAlert):
		return CodeTLSVersion
	case strings.Contains(text, textVersionPicked):
		s.notePicked(text)
		return CodeTLSVersion
	case strings.Contains(text, textCipherPicked), strings.Contains(text, textInsufficient):
		return CodeTLSCipher
	case strings.Contains(text, textNoCommon):
		return s.handshakeFailure()
	}
	for _, alert := range certificateAlerts {
		if s.askedForCertificate() && strings.Contains(text, textAlert+alert) {
			return s.clientCertRefused()
		}
	}
	if strings.Contains(text, "tls: ") {
		return CodeTLSHandshake
	}
	return ""
}

// askedForCertificate says whether the server wanted a client certificate.
func (s *Session) askedForCertificate() bool { return s.askedAt.Load() > 0 }

// clientCertRefused is the verdict on a server that turned us away because of
// our client certificate: there was none, or it did not like it.
func (s *Session) clientCertRefused() Code {
	if s.run.client == nil {
		return CodeTLSClientCertRequired
	}
	return CodeTLSClientCertRejected
}

// missedCertificate says whether a server that hung up had wanted a certificate
// and has said no more after our answer than an alert. With TLS 1.3 the alert
// comes while we speak, and is lost when the connection breaks on that.
func (s *Session) missedCertificate(seen egress.Evidence) bool {
	const alert = 5 + 2 + 1 + 16 // the longest: header, alert, inner type, tag
	return s.askedForCertificate() && seen.BytesIn-s.askedAt.Load() <= alert
}

// handshakeFailure judges the alert for everything. Before the server has shown
// a certificate it means that the two sides have no cipher suite in common;
// after it has asked for ours, that it misses or refuses that, as OpenSSL says
// it with TLS 1.2.
func (s *Session) handshakeFailure() Code {
	var shown bool
	s.note(func(e *Evidence) { shown = e.TLS != nil })
	switch {
	case s.askedForCertificate():
		return s.clientCertRefused()
	case shown:
		return CodeTLSHandshake
	default:
		return CodeTLSCipher
	}
}

// notePicked notes the version that the server insists on.
func (s *Session) notePicked(text string) {
	_, number, _ := strings.Cut(text, textVersionPicked)
	var version uint16
	if _, err := fmt.Sscanf(number, "%x", &version); err == nil {
		s.Fact("tls_server_version", tls.VersionName(version))
	}
}
