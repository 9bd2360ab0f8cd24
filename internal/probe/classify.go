package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"dialtone/internal/egress"
	"dialtone/internal/sabotage"
)

// classify is the one place that reads a prober's error. Order of judgement:
// our policy, then what the prober or the server said, then the certificate's
// verdict, then what the edge saw of the dial, the time and the bytes.
func classify(ctx context.Context, err error, s *Session, seen egress.Evidence) (Code, Phase) {
	if err == nil || sabotage.On(sabotage.FailureIsSuccess) {
		return CodeOK, ""
	}
	code, phase := judge(ctx, err, s, seen)
	now := s.trace.phase()
	if phase == "" && !sabotage.On(sabotage.WrongPhase) {
		phase = code.Verdict().Phase
	}
	switch {
	case phase == "":
		phase = now
	case phase == PhaseProtocol && (now == PhaseLogin || now == PhaseSession):
		// What belongs to the protocol may come after it has been passed, as
		// when the slots of one account are taken.
		phase = now
	}
	return code, phase
}

func judge(ctx context.Context, err error, s *Session, seen egress.Evidence) (Code, Phase) {
	if _, ok := errors.AsType[*egress.DeniedError](err); ok {
		return CodeTargetNotAllowed, ""
	}
	if seen.Capped && !sabotage.On(sabotage.ForgiveFloods) || errors.Is(err, egress.ErrReadCap) || errors.Is(err, egress.ErrDialBudget) {
		return CodePeerAbusive, ""
	}
	if known, ok := errors.AsType[*Error](err); ok {
		s.note(func(e *Evidence) { e.LooksLike = known.LooksLike })
		if known.Code == CodeTLSClientCertRejected {
			// The server's words for both are the same; we know which it is.
			return s.clientCertRefused(), known.Phase
		}
		return known.Code, known.Phase
	}
	if verdict, ok := errors.AsType[*CertificateError](err); ok {
		return verdict.Code, ""
	}
	if code := lookupCode(err); code != "" {
		return code, ""
	}
	if !seen.Used.IsValid() {
		return unconnected(ctx, err, s.trace.phase(), seen), ""
	}
	if foreign(s.Target, seen.FirstBytes) != "" {
		return CodeProtocolMismatch, ""
	}
	if timedOut(ctx, err) {
		return timeoutCode(s.trace.phase(), seen), ""
	}
	lost := hungUp(err) || hungUp(seen.ReadErr) || hungUp(seen.WriteErr)
	if lost && seen.BytesIn == 0 {
		return CodeClosedNoReply, ""
	}
	if s.Target.TLS != nil {
		if code := s.tlsCode(err); code != "" {
			return code, ""
		}
	}
	switch {
	case lost && s.missedCertificate(seen):
		return s.clientCertRefused(), ""
	case lost:
		return CodeConnectionLost, ""
	case seen.BytesIn > 0:
		return CodeProtocolMismatch, ""
	default:
		return CodeInternal, ""
	}
}

func lookupCode(err error) Code {
	failed, ok := errors.AsType[*egress.LookupError](err)
	switch {
	case !ok:
		return ""
	case failed.NotFound:
		return CodeDNSNotFound
	default:
		return CodeDNSFailed
	}
}

// unconnected judges a test in which no connection came about.
func unconnected(ctx context.Context, err error, phase Phase, seen egress.Evidence) Code {
	if failed, ok := errors.AsType[*egress.DialError](err); ok {
		return dialCode(failed)
	}
	if n := len(seen.Dials); n > 0 && seen.Dials[n-1].Err != nil {
		return dialCode(seen.Dials[n-1].Err)
	}
	switch {
	case !timedOut(ctx, err):
		return CodeInternal
	case phase == PhaseResolve || phase == PhasePolicy:
		return CodeDNSFailed
	default:
		return CodeTimeoutConnect
	}
}

// dialCode judges one TCP connection attempt.
func dialCode(err error) Code {
	switch {
	case err == nil:
		return CodeOK
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return CodeConnectionRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL),
		errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return CodeHostUnreachable
	}
	if _, ok := errors.AsType[*egress.DeniedError](err); ok {
		return CodeTargetNotAllowed
	}
	if outOfTime(err) {
		return CodeTimeoutConnect
	}
	return CodeHostUnreachable
}

// timeoutCode tells the four silences apart.
func timeoutCode(phase Phase, seen egress.Evidence) Code {
	switch {
	case !seen.Used.IsValid():
		return CodeTimeoutConnect
	case seen.BytesIn == 0:
		return CodeTimeoutNoReply
	case phase == PhaseTLS:
		return CodeTimeoutTLS
	default:
		return CodeTimeoutHandshake
	}
}

// timedOut treats the socket's deadline like the context's: it can fire a
// moment earlier.
func timedOut(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) || outOfTime(err)
}

func outOfTime(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
		return true
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// foreign names the product that these first bytes belong to, if it is known
// and not the engine that was asked for.
func foreign(t *Target, first []byte) string {
	product := looksLike(first)
	if product == family(t.Engine) || product == "tls" && t.TLS != nil && tlsFirst(t.Engine) {
		return ""
	}
	return product
}

// tlsFirst says whether TLS begins with the first byte, where it was asked for.
// In the other protocols something comes before it.
func tlsFirst(engine Engine) bool {
	switch family(engine) {
	case "mysql", "postgresql", "sqlserver":
		return false
	default:
		return true
	}
}

// family is the product whose first bytes an engine is expected to send, in
// the names of looksLike.
func family(engine Engine) string {
	switch engine {
	case MySQL, Taurus:
		return "mysql"
	case PostgreSQL, GaussDBv5, GaussDBv5HA:
		return "postgresql"
	case Redis, RedisCluster, GaussRedis:
		return "redis"
	case MongoDB, Kafka, Oracle: // they begin with what looksLike does not know
		return ""
	default:
		return string(engine)
	}
}

// looksLike names the product that these first bytes belong to, or nothing.
func looksLike(b []byte) string {
	s := string(b)
	switch {
	case strings.HasPrefix(s, "HTTP/"):
		return "http"
	case strings.HasPrefix(s, "SSH-"):
		return "ssh"
	case strings.HasPrefix(s, "-ERR"), strings.HasPrefix(s, "-NOAUTH"), strings.HasPrefix(s, "-DENIED"):
		return "redis"
	case len(b) >= 6 && b[3] == 0 && b[4] == 0x0a && (strings.HasPrefix(s[5:], "5.5.5-") || b[5] >= '0' && b[5] <= '9'):
		return "mysql"
	case len(b) >= 5 && b[3] == 0 && b[4] == 0xff:
		return "mysql" // an error packet instead of a greeting
	case len(b) >= 6 && b[0] == 'E' && b[1] == 0 && b[2] == 0 && b[5] == 'S':
		return "postgresql"
	case len(b) >= 3 && (b[0] == 0x15 || b[0] == 0x16) && b[1] == 0x03:
		return "tls"
	case len(b) >= 2 && b[0] >= 0x83 && b[0] <= 0x85 && b[1] == 0:
		return "cassandra"
	case len(b) >= 3 && b[0] == 0x04 && b[1] == 0x01 && b[2] == 0:
		return "sqlserver"
	default:
		return ""
	}
}
