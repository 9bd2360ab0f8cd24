package sqlserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"syscall"

	"dialtone/internal/probe"
)

// handshake carries the records of a TLS handshake in packets, and when that is
// over nothing but records: they then hold the packets (MS-TDS 3.2.5.2).
type handshake struct {
	*socket
	packets wire
	over    bool
}

func (h *handshake) Read(p []byte) (int, error) {
	if h.over {
		return h.socket.Read(p)
	}
	for {
		if n, err := h.packets.Read(p); !errors.Is(err, io.EOF) {
			return n, err
		}
		// Servers were seen to answer with packets of either type.
		if err := h.packets.begin(packetPrelogin, packetReply); err != nil {
			return 0, err
		}
	}
}

func (h *handshake) Write(p []byte) (int, error) {
	if h.over {
		return h.socket.Write(p)
	}
	if err := h.packets.send(packetPrelogin, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// secure makes the handshake.
func (a *attempt) secure(ctx context.Context, config *tls.Config) (*tls.Conn, error) {
	a.session.Enter(probe.PhaseTLS)
	// What TLS 1.3 sends after its handshake has no place between records in
	// packets and packets in records; the server offers it in TDS 8 only.
	config.MaxVersion = tls.VersionTLS12
	// It wants a packet to be one record.
	config.DynamicRecordSizingDisabled = true
	h := &handshake{socket: a.socket, packets: wire{stream: a.socket}}
	conn := tls.Client(h, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, a.unsecured(err)
	}
	h.over = true
	return conn, nil
}

// unsecured says what the Runner cannot know: that a packet which is none, or
// an alert although the target asked for no TLS, is trouble of the handshake.
func (a *attempt) unsecured(err error) error {
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if errors.Is(err, errForeign) || a.session.Target.TLS == nil && !ended {
		return probe.Fail(probe.CodeTLSHandshake, err)
	}
	return err
}

// loginOnly is for a target that asked for no TLS: the server still encrypts
// the packet with the password, which keeps it from whoever only listens. Its
// certificate is not judged, since it would not protect what comes after, and
// an old version of TLS is better than none.
func (a *attempt) loginOnly() *tls.Config {
	return &tls.Config{
		ServerName:         a.session.Address.Host,
		MinVersion:         tls.VersionTLS10,
		InsecureSkipVerify: true, //nolint:gosec // nothing is claimed for it; see above
	}
}
