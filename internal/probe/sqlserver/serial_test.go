package sqlserver_test

import (
	"bytes"
	"crypto/x509"
	"math/big"
	"testing"

	"dialtone/internal/probe"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/probe/sqlserver"
	"dialtone/internal/probe/sqlserver/sqlservertest"
)

// About every second certificate that SQL Server up to 2017 makes for itself
// has a negative serial number, which Go refuses unless it is told not to
// (go.mod does).
func TestNegativeSerial(t *testing.T) {
	t.Parallel()
	config := probetest.NewAuthority(t).Server(t, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(0x7f01_0203) })
	der := config.Certificates[0].Certificate
	negative := bytes.Replace(der[0], []byte{2, 4, 0x7f, 1, 2, 3}, []byte{2, 4, 0xff, 1, 2, 3}, 1)
	if bytes.Equal(negative, der[0]) {
		t.Fatal("the serial number is not where it was thought")
	}
	der[0] = negative // the signature is wrong now, but nobody is asked to trust it
	for name, mode := range map[string]*probe.TLS{"plain": nil, "unverified TLS": {Verify: probe.VerifyNone}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, heard := serve(t, sqlservertest.Config{TLS: config})
			r := probeIt(t, sqlserver.Config{AllowRecoverable: true}, target(s, mode))
			s.Wait(t)
			if !r.OK() || len(heard.logins) != 1 || !heard.logins[0].Encrypted {
				t.Errorf("Run() = %s in %q, facts %v", r.Code, r.Phase, r.Evidence.Facts)
			}
		})
	}
}
