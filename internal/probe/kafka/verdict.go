package kafka

import (
	"fmt"
	"strconv"

	"dialtone/internal/probe"
)

// The protocol's error codes that have a verdict of their own.
const (
	leaderNotAvailable     = 5
	brokerNotAvailable     = 8
	topicAuthorization     = 29
	groupAuthorization     = 30
	clusterAuthorization   = 31
	unsupportedMechanism   = 33
	illegalSASLState       = 34
	unsupportedVersion     = 35
	saslAuthentication     = 58
	delegationTokenUnknown = 62
	delegationTokenExpired = 66
	throttlingQuota        = 89
)

// refused translates an error code of the broker's.
func (a *attempt) refused(code int16, text string) error {
	a.session.ServerError(strconv.Itoa(int(code)), text)
	// The text is evidence, scrubbed; it stays out of the error.
	return probe.Fail(serverCode(code), fmt.Errorf("broker error %d", code))
}

func serverCode(code int16) probe.Code {
	switch code {
	case saslAuthentication, delegationTokenUnknown, delegationTokenExpired:
		return probe.CodeAuthFailed
	case unsupportedMechanism:
		return probe.CodeAuthMechanism
	case illegalSASLState:
		return probe.CodeAuthRequired
	case topicAuthorization, groupAuthorization, clusterAuthorization:
		return probe.CodePermissionDenied
	case unsupportedVersion:
		return probe.CodeVersionUnsupported
	case leaderNotAvailable, brokerNotAvailable:
		return probe.CodeServerNotReady
	case throttlingQuota:
		return probe.CodeTooManyConnections
	default:
		return probe.CodeServerError
	}
}
