package probe

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"time"
)

// The sizes of RSA keys that matter: below the one clients warn or refuse, below
// the other this process cannot even check a signature.
const (
	weakRSABits   = 2048
	brokenRSABits = 1024
)

// certificateVerdict is what there is to say of the certificates of one
// handshake, whatever strictness was asked for.
type certificateVerdict struct {
	modes    TLSModes
	findings []TLSFinding
	// warnings are of what no strictness refuses.
	warnings []Code
	cause    error // why Full refuses; nil if it does not
}

// judgeCertificates judges what a server sent: the chain first, then the name,
// so that an untrusted certificate is called untrusted whatever its name is.
// The findings are complete: one does not hide another.
func judgeCertificates(sent []*x509.Certificate, roots *x509.CertPool, host string, now time.Time) certificateVerdict {
	c := &chainJudge{sent: sent, leaf: sent[0], path: sentPath(sent), roots: roots, now: now}
	v := certificateVerdict{modes: TLSModes{None: CodeOK, CA: CodeOK, Full: CodeOK}}
	trust, err := c.trust(now)
	if expired, ok := certificateExpired(err); ok {
		v.modes.CA, v.cause = c.validity(expired), err
		// What else is wrong is seen by looking at a time when it was valid.
		trust, err = c.trust(expired.NotBefore.Add(expired.NotAfter.Sub(expired.NotBefore) / 2))
		if _, again := certificateExpired(err); again {
			trust = CodeOK
		}
	}
	if trust != CodeOK {
		v.findings = append(v.findings, c.untrusted(trust, err))
		if v.cause == nil {
			v.modes.CA, v.cause = trust, err
		}
	}
	if v.cause != nil {
		v.findings = append(v.findings, c.dates()...)
	}
	v.modes.Full = v.modes.CA
	if code, err := c.name(host); code != CodeOK {
		v.findings = append(v.findings, TLSFinding{Code: code, Subject: c.leaf.Subject.String(), Detail: err.Error()})
		if v.modes.Full == CodeOK {
			v.modes.Full, v.cause = code, err
		}
	}
	v.keys(c)
	v.serials(c)
	if !c.inOrder() {
		v.findings = append(v.findings, TLSFinding{Code: CodeTLSChainOrder})
		v.warnings = append(v.warnings, CodeTLSChainOrder)
	}
	return v
}

// keys looks for RSA keys that are too small.
func (v *certificateVerdict) keys(c *chainJudge) {
	for at, i := range c.path {
		key, ok := c.sent[i].PublicKey.(*rsa.PublicKey)
		if !ok || key.N.BitLen() >= weakRSABits {
			continue
		}
		v.findings = append(v.findings, TLSFinding{Code: CodeTLSWeakKey, Subject: c.sent[i].Subject.String()})
		if at == 0 && key.N.BitLen() < brokenRSABits {
			// The handshake is about to fail at the server's signature.
			v.modes = TLSModes{None: CodeTLSWeakKey, CA: CodeTLSWeakKey, Full: CodeTLSWeakKey}
			v.cause = errors.New("the server's RSA key is too small to prove anything")
		} else if !slices.Contains(v.warnings, CodeTLSWeakKey) {
			v.warnings = append(v.warnings, CodeTLSWeakKey)
		}
	}
}

// serials looks for serial numbers below zero: clients written in Go refuse them,
// and so would we if go.mod did not say otherwise.
func (v *certificateVerdict) serials(c *chainJudge) {
	for _, i := range c.path {
		if c.sent[i].SerialNumber.Sign() >= 0 {
			continue
		}
		v.findings = append(v.findings, TLSFinding{Code: CodeTLSNegativeSerial, Subject: c.sent[i].Subject.String()})
		if !slices.Contains(v.warnings, CodeTLSNegativeSerial) {
			v.warnings = append(v.warnings, CodeTLSNegativeSerial)
		}
	}
}

// chainJudge looks at one chain.
type chainJudge struct {
	sent  []*x509.Certificate
	leaf  *x509.Certificate
	path  []int // from the leaf upwards, as far as the issuers were sent
	roots *x509.CertPool
	now   time.Time
}

// sentPath follows the issuers from the leaf through what was sent.
func sentPath(sent []*x509.Certificate) []int {
	path := []int{0}
	for {
		last := sent[path[len(path)-1]]
		if selfIssued(last) {
			return path
		}
		next := slices.IndexFunc(sent, func(c *x509.Certificate) bool { return issued(c, last) })
		if next < 0 || slices.Contains(path, next) {
			return path
		}
		path = append(path, next)
	}
}

// inOrder says whether each certificate was sent just before its issuer's. What
// comes behind the chain does no harm.
func (c *chainJudge) inOrder() bool {
	for at, i := range c.path {
		if at != i {
			return false
		}
	}
	return true
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// issued says whether by names and key ids issuer may have signed c.
func issued(issuer, c *x509.Certificate) bool {
	sameKey := len(issuer.SubjectKeyId) == 0 || len(c.AuthorityKeyId) == 0 || bytes.Equal(issuer.SubjectKeyId, c.AuthorityKeyId)
	return sameKey && bytes.Equal(issuer.RawSubject, c.RawIssuer)
}

// trust says whether the chain leads to a root, at that time.
func (c *chainJudge) trust(at time.Time) (Code, error) {
	intermediates := x509.NewCertPool()
	for _, cert := range c.sent[1:] {
		intermediates.AddCert(cert)
	}
	_, err := c.leaf.Verify(x509.VerifyOptions{Roots: c.roots, Intermediates: intermediates, CurrentTime: at})
	if err == nil {
		return CodeOK, nil
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		top := c.sent[c.path[len(c.path)-1]]
		switch {
		case c.weaklySigned() != nil:
			return CodeTLSWeakSignature, err
		case top == c.leaf && !selfIssued(top) && len(top.IssuingCertificateURL) > 0 && !c.knowsIssuerOf(top):
			// A server that sends nothing above its own certificate, which
			// says where its issuer's is to be had.
			return CodeTLSChainIncomplete, err
		}
	}
	return CodeTLSUntrusted, err
}

// weaklySigned finds a certificate whose signature nobody accepts any more. What
// signs itself proves nothing by that, and is trusted or not for itself.
func (c *chainJudge) weaklySigned() *x509.Certificate {
	for _, i := range c.path {
		cert := c.sent[i]
		switch cert.SignatureAlgorithm {
		case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
			if !selfIssued(cert) {
				return cert
			}
		default:
		}
	}
	return nil
}

// knowsIssuerOf says whether a root has the name of the issuer of cert. The
// system's roots do not tell their names.
func (c *chainJudge) knowsIssuerOf(cert *x509.Certificate) bool {
	if c.roots == nil {
		return false
	}
	//nolint:staticcheck // deprecated because it leaves the system's roots out, and these are the caller's own
	return slices.ContainsFunc(c.roots.Subjects(), func(subject []byte) bool { return bytes.Equal(subject, cert.RawIssuer) })
}

// untrusted tells which certificate lacks what.
func (c *chainJudge) untrusted(code Code, err error) TLSFinding {
	about := c.sent[c.path[len(c.path)-1]]
	if weak := c.weaklySigned(); code == CodeTLSWeakSignature && weak != nil {
		f := TLSFinding{Code: code, Subject: weak.Subject.String()}
		f.Detail = weak.SignatureAlgorithm.String()
		return f
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Cert != nil {
		return TLSFinding{Code: code, Subject: invalid.Cert.Subject.String(), Detail: err.Error()}
	}
	return TLSFinding{
		Code: code, Subject: about.Subject.String(),
		Issuer: about.Issuer.String(), IssuerKeyID: hex.EncodeToString(about.AuthorityKeyId),
	}
}

// certificateExpired gives the certificate that is outside of its time.
func certificateExpired(err error) (*x509.Certificate, bool) {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	if !ok || invalid.Reason != x509.Expired || invalid.Cert == nil {
		return nil, false
	}
	return invalid.Cert, true
}

func (c *chainJudge) validity(cert *x509.Certificate) Code {
	if c.now.Before(cert.NotBefore) {
		return CodeTLSNotYetValid
	}
	return CodeTLSExpired
}

// dates finds every certificate of the chain that is outside of its time.
func (c *chainJudge) dates() []TLSFinding {
	var all []TLSFinding
	for _, i := range c.path {
		cert := c.sent[i]
		f := TLSFinding{Code: c.validity(cert), Subject: cert.Subject.String()}
		switch {
		case c.now.Before(cert.NotBefore):
			f.Days = wholeDays(cert.NotBefore.Sub(c.now))
		case c.now.After(cert.NotAfter):
			f.Days = wholeDays(c.now.Sub(cert.NotAfter))
		default:
			continue
		}
		all = append(all, f)
	}
	return all
}

// wholeDays counts a day that has begun.
func wholeDays(d time.Duration) int { return int(math.Ceil(d.Hours() / 24)) }

// name says whether the certificate is for host. A common name alone has not
// counted for years, though some clients still read it.
func (c *chainJudge) name(host string) (Code, error) {
	err := c.leaf.VerifyHostname(host)
	switch {
	case err == nil:
		return CodeOK, nil
	case c.nameless() && strings.EqualFold(c.leaf.Subject.CommonName, host):
		return CodeTLSCommonNameOnly, err
	default:
		return CodeTLSNameMismatch, err
	}
}

func (c *chainJudge) nameless() bool {
	return len(c.leaf.DNSNames)+len(c.leaf.IPAddresses)+len(c.leaf.URIs)+len(c.leaf.EmailAddresses) == 0
}
