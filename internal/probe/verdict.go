package probe

import (
	"cmp"
	"maps"
	"slices"
)

// Code is a verdict: a closed set, one row each in docs/verdicts.md.
type Code string

// Owner is who must act on a verdict.
type Owner string

// The owners.
const (
	OwnerNone     Owner = ""
	OwnerCaller   Owner = "caller"
	OwnerDBA      Owner = "dba"
	OwnerNetwork  Owner = "network"
	OwnerSecurity Owner = "security"
	OwnerService  Owner = "service"
)

// Language selects the language of a text.
type Language string

// The languages of X-Language.
const (
	English Language = "en-us"
	Chinese Language = "zh-cn"
)

// Words is one text in every language.
type Words struct{ English, Chinese string }

// In gives the text in language l, English unless Chinese was asked for.
func (w Words) In(l Language) string {
	if l == Chinese {
		return w.Chinese
	}
	return w.English
}

// CodeOK is the verdict on an endpoint that works.
const CodeOK Code = "ok"

// The verdicts on the request itself.
const (
	CodeJobUnknown         Code = "job_unknown"
	CodeJobDeleted         Code = "job_deleted"
	CodeJobWrongStatus     Code = "job_wrong_status"
	CodeJobIsParent        Code = "job_is_parent"
	CodeJobIsChild         Code = "job_is_child"
	CodeJobForwardNotReady Code = "job_forward_not_ready"
	CodeEngineUnsupported  Code = "engine_unsupported"
	CodeCertNotBase64      Code = "tls_cert_not_base64"
	CodeCertEmpty          Code = "tls_cert_empty"
	CodeCertInvalid        Code = "tls_cert_invalid"
	CodeCertPassword       Code = "tls_cert_bad_password" //nolint:gosec // a code, not a password
	CodeCertChecksum       Code = "tls_cert_checksum_mismatch"
	CodeKeyMissing         Code = "tls_key_missing"
	CodeKeyPassword        Code = "tls_key_bad_password" //nolint:gosec // a code, not a password
	CodeKeyMismatch        Code = "tls_key_mismatch"
)

// The verdicts of policy.
const (
	CodeTargetNotAllowed Code = "target_not_allowed"
	CodeNoVantage        Code = "no_vantage"
)

// The verdicts on the look-up of a name.
const (
	CodeDNSNotFound Code = "dns_not_found"
	CodeDNSFailed   Code = "dns_failed"
)

// The verdicts on TCP.
const (
	CodeConnectionRefused Code = "connection_refused"
	CodeHostUnreachable   Code = "host_unreachable"
	CodeTimeoutConnect    Code = "timeout_connect"
)

// The verdicts on encryption.
const (
	CodeTLSRequired           Code = "tls_required"
	CodeTLSNotSupported       Code = "tls_not_supported_by_server"
	CodeTLSUntrusted          Code = "tls_cert_untrusted"
	CodeTLSExpired            Code = "tls_cert_expired"
	CodeTLSNotYetValid        Code = "tls_cert_not_yet_valid"
	CodeTLSNameMismatch       Code = "tls_hostname_mismatch"
	CodeTLSCommonNameOnly     Code = "tls_cert_common_name_only"
	CodeTLSChainIncomplete    Code = "tls_chain_incomplete"
	CodeTLSChainOrder         Code = "tls_chain_order"
	CodeTLSWeakSignature      Code = "tls_cert_weak_signature"
	CodeTLSWeakKey            Code = "tls_cert_weak_key"
	CodeTLSNegativeSerial     Code = "tls_cert_negative_serial"
	CodeTLSCipher             Code = "tls_cipher_unsupported"
	CodeTLSVersion            Code = "tls_version_unsupported"
	CodeTLSHandshake          Code = "tls_handshake_failed"
	CodeTLSClientCertRejected Code = "tls_client_cert_rejected"
	CodeTLSClientCertRequired Code = "tls_client_cert_required"
	CodeTimeoutTLS            Code = "timeout_tls"
)

// The verdicts on what answers, before any login.
const (
	CodeTimeoutNoReply      Code = "timeout_no_reply"
	CodeClosedNoReply       Code = "closed_no_reply"
	CodeProtocolMismatch    Code = "protocol_mismatch"
	CodeVersionUnsupported  Code = "version_unsupported"
	CodeHostNotAllowed      Code = "host_not_allowed"
	CodeHostNotAllowedOrTLS Code = "host_not_allowed_or_tls_required"
	CodeTooManyConnections  Code = "too_many_connections"
	CodeServerNotReady      Code = "server_not_ready"
)

// The verdicts on credentials.
const (
	CodeAuthFailed        Code = "auth_failed"
	CodeAuthRequired      Code = "auth_required"
	CodeAuthMechanism     Code = "auth_mechanism_unsupported"
	CodeInsecureLogin     Code = "insecure_login_refused"
	CodeAuthNotEnabled    Code = "auth_not_enabled"
	CodeAccountLocked     Code = "account_locked"
	CodePasswordExpired   Code = "password_expired"
	CodeKDCUnreachable    Code = "kdc_unreachable"
	CodeKDCServiceUnknown Code = "kdc_service_unknown"
	CodeLoginSuppressed   Code = "login_suppressed"
)

// The verdicts on the database named.
const (
	CodeDatabaseUnknown     Code = "database_unknown"
	CodeDatabaseUnavailable Code = "database_unavailable"
	CodePermissionDenied    Code = "permission_denied"
	CodeSIDNotService       Code = "sid_not_service"
)

// The verdicts on the addresses that the server itself names.
const (
	CodeAdvertisedUnreachable Code = "advertised_unreachable"
	CodeTopologyMismatch      Code = "topology_mismatch"
	CodeStandbyServer         Code = "standby_server"
)

// The verdicts that belong to no one phase.
const (
	CodeTimeoutHandshake Code = "timeout_handshake"
	CodeConnectionLost   Code = "connection_lost"
	CodePeerAbusive      Code = "peer_abusive"
	CodeServerError      Code = "server_error"
	CodeDeadlineExceeded Code = "deadline_exceeded"
	CodeInterrupted      Code = "interrupted"
	CodeWorkerLost       Code = "worker_lost"
	CodeCancelled        Code = "cancelled"
	CodeInternal         Code = "internal"
)

// Verdict is what a code means, who must act and what to do.
type Verdict struct {
	Code Code
	// Phase is where this verdict belongs; empty: wherever it happened.
	Phase Phase
	Owner Owner
	// Retry says that trying again may help, as long as no login was sent.
	Retry   bool
	Meaning Words
	Remedy  Words
}

// Verdict looks the code up; an unknown code answers as CodeInternal.
func (c Code) Verdict() Verdict {
	table := verdicts()
	if v, ok := table[c]; ok {
		return v
	}
	return table[CodeInternal]
}

// Known says whether c is in the table.
func (c Code) Known() bool {
	_, ok := verdicts()[c]
	return ok
}

// Verdicts lists the whole table, ordered by phase and code; those without a
// phase come last.
func Verdicts() []Verdict {
	order := append(Phases(), "")
	return slices.SortedFunc(maps.Values(verdicts()), func(a, b Verdict) int {
		pa, pb := slices.Index(order, a.Phase), slices.Index(order, b.Phase)
		if pa != pb {
			return pa - pb
		}
		return cmp.Compare(a.Code, b.Code)
	})
}
