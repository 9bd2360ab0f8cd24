package probe

import (
	"crypto/tls"
	"crypto/x509"

	"dialtone/internal/probe/certs"
)

// material is what the handshakes of one target are made with.
type material struct {
	// roots are the authorities to trust; nil means the system's.
	roots *x509.CertPool
	// client is the certificate to show when the server asks; nil: none.
	client *tls.Certificate
}

// readMaterial reads the certificates that the caller gave.
func readMaterial(t *Target) (material, error) {
	var m material
	var err error
	switch {
	case t.TLS == nil:
	case t.Kafka != nil && t.Kafka.TrustStore.IsSet():
		m.roots, err = certs.TrustStore(t.Kafka.TrustStore, "", t.Kafka.TrustStorePassword)
	case t.TLS.Certificate.IsSet():
		m.roots, err = certs.TrustStore(t.TLS.Certificate, t.TLS.Checksum, t.TLS.Password)
	}
	return m, err
}
