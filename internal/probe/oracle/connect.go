package oracle

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"

	"dialtone/internal/probe"
)

// Versions of TNS.
const (
	// versionOurs is the newest one asked for. In 319 the ends of responses are
	// marked, which a client of one call at a time has no use for.
	versionOurs = 318
	// versionLeast is that of Oracle 10g and 11.1.
	versionLeast = 313
	// versionAsked is what a CONNECT names as the least, so that an old server
	// says which one it has.
	versionAsked = 300
	versionLarge = 315
)

const (
	// maxResends is how often a listener may ask for the CONNECT again. It does
	// so once when it hands the connection to a server process.
	maxResends = 3
	// maxInline is the longest descriptor within a CONNECT.
	maxInline = 230
	// connectSize is the length of a CONNECT before the descriptor.
	connectSize = 74
)

// refusal is the listener's error.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return fmt.Sprintf("the listener refuses with error %d", r.code) }

// connect dials the address under test, and goes where the listener sends it,
// until it has been let through.
func (a *attempt) connect(ctx context.Context, descriptor string) (*wire, error) {
	s := a.session
	raw, err := s.Dial(ctx, "tcp", s.Address.String())
	if err != nil {
		return nil, err
	}
	w, err := a.through(ctx, raw, descriptor, 0)
	elsewhere, redirected := errors.AsType[*redirectError](err)
	if !redirected {
		return w, err
	}
	if raw, err = a.follow(ctx, elsewhere.to); err != nil {
		return nil, err
	}
	if elsewhere.to.connect != "" {
		descriptor = elsewhere.to.connect
	}
	w, err = a.through(ctx, raw, descriptor, flagRedirected)
	if again, ok := errors.AsType[*redirectError](err); ok {
		return nil, probe.Fail(probe.CodePeerAbusive, again)
	}
	return w, err
}

// redirectError sends the client elsewhere.
type redirectError struct{ to redirection }

func (e *redirectError) Error() string { return "redirected" }

// follow dials the address that the listener named.
func (a *attempt) follow(ctx context.Context, to redirection) (net.Conn, error) {
	s := a.session
	s.Fact("redirected_to", to.address.String())
	switch wanted := s.Target.TLS != nil; {
	case wanted && !to.secure:
		return nil, probe.Fail(probe.CodeTLSNotSupported, errors.New("redirected from TLS to plain text"))
	case !wanted && to.secure:
		return nil, probe.Fail(probe.CodeTLSRequired, errors.New("redirected to TLS"))
	}
	raw, err := s.Dial(ctx, "tcp", to.address.String())
	if err != nil {
		// A forbidden address is still called forbidden.
		return nil, probe.Fail(probe.CodeAdvertisedUnreachable, err)
	}
	return raw, nil
}

// through makes the TLS handshake, if one is wanted, and sends CONNECT until
// the listener or the server process behind it lets us through.
func (a *attempt) through(ctx context.Context, raw net.Conn, descriptor string, flags byte) (*wire, error) {
	a.sockets = append(a.sockets, raw)
	if !a.limit.IsZero() {
		if err := raw.SetDeadline(a.limit); err != nil {
			return nil, err
		}
	}
	w := &wire{conn: raw, room: maxPacket}
	if err := a.secure(ctx, w, raw); err != nil {
		return nil, err
	}
	for range maxResends + 1 {
		if err := w.sendConnect(descriptor, flags); err != nil {
			return nil, err
		}
		p, err := w.read()
		if err != nil {
			return nil, err
		}
		switch p.kind {
		case packetAccept:
			return w, a.accepted(w, p.body)
		case packetRefuse:
			return nil, parseRefuse(p.body)
		case packetRedirect:
			return nil, w.redirected(p.body)
		case packetResend:
			// The socket now is another process's, which starts TLS anew.
			if p.flags&flagRenegotiate != 0 && a.session.Target.TLS != nil {
				if err := a.secure(ctx, w, raw); err != nil {
					return nil, err
				}
			}
		default:
			return nil, mismatch("packet of type %d in answer to CONNECT", p.kind)
		}
	}
	return nil, probe.Fail(probe.CodePeerAbusive, errors.New("the listener asks for the CONNECT again and again"))
}

// secure makes a TLS handshake on the bare socket.
func (a *attempt) secure(ctx context.Context, w *wire, raw net.Conn) error {
	s := a.session
	if s.Target.TLS != nil {
		s.Enter(probe.PhaseTLS)
		secured := tls.Client(raw, s.TLSConfig())
		if err := secured.HandshakeContext(ctx); err != nil {
			return err
		}
		w.conn = secured
	}
	s.Enter(probe.PhaseProtocol)
	return nil
}

// sendConnect sends CONNECT, with a long descriptor in a packet of its own.
func (w *wire) sendConnect(descriptor string, flags byte) error {
	const (
		dontCare = 0x0001 // service options
		protocol = 0x4f98 // characteristics of the transport, as all clients state them
		// No native encryption; another TLS handshake is understood.
		security = 0x04 | 0x80
	)
	be := binary.BigEndian
	b := make([]byte, connectSize-headerSize)
	be.PutUint16(b[0:], versionOurs)
	be.PutUint16(b[2:], versionAsked)
	be.PutUint16(b[4:], dontCare)
	be.PutUint16(b[6:], maxPacket)
	be.PutUint16(b[8:], maxPacket)
	be.PutUint16(b[10:], protocol)
	be.PutUint16(b[14:], 1)
	be.PutUint16(b[16:], uint16(len(descriptor))) //nolint:gosec // a descriptor is ours, or came in one packet
	be.PutUint16(b[18:], connectSize)
	b[24], b[25] = security, security
	be.PutUint32(b[50:], maxPacket)
	be.PutUint32(b[54:], maxPacket)
	if len(descriptor) <= maxInline {
		return w.write(packet{kind: packetConnect, flags: flags, body: slices.Concat(b, []byte(descriptor))})
	}
	if err := w.write(packet{kind: packetConnect, flags: flags, body: b}); err != nil {
		return err
	}
	return w.data([]byte(descriptor))
}

// acceptance is what an ACCEPT says.
type acceptance struct {
	version int
	room    int
	// encryption: Oracle's own is demanded.
	encryption bool
}

// parseAccept reads the body of an ACCEPT.
func parseAccept(body []byte) (acceptance, error) {
	const (
		least, leastLarge = 16, 28 // what its fields take up to the last one used
		required          = 0x10
	)
	if len(body) < least {
		return acceptance{}, mismatch("ACCEPT of %d bytes", len(body))
	}
	be := binary.BigEndian
	a := acceptance{version: int(be.Uint16(body)), room: int(be.Uint16(body[4:])), encryption: body[14]&required != 0}
	if a.version >= versionLarge {
		if len(body) < leastLarge {
			return acceptance{}, mismatch("ACCEPT of %d bytes", len(body))
		}
		a.room = int(be.Uint32(body[24:]))
	}
	a.room = min(max(a.room, minPacket), maxPacket)
	return a, nil
}

// accepted takes note of an ACCEPT.
func (a *attempt) accepted(w *wire, body []byte) error {
	agreed, err := parseAccept(body)
	switch {
	case err != nil:
		return err
	case agreed.version < versionLeast:
		return probe.Fail(probe.CodeVersionUnsupported, fmt.Errorf("TNS version %d", agreed.version))
	case agreed.version > versionOurs:
		return mismatch("TNS version %d was not asked for", agreed.version)
	case agreed.encryption:
		return a.encryptionRequired(errors.New("the ACCEPT demands native encryption"))
	}
	w.accepted, w.large, w.room = true, agreed.version >= versionLarge, agreed.room
	return nil
}

// parseRefuse reads the body of a REFUSE.
func parseRefuse(body []byte) error {
	const fixed, most = 4, 99999
	if len(body) < fixed {
		return mismatch("REFUSE of %d bytes", len(body))
	}
	text := string(body[fixed:min(len(body), fixed+int(binary.BigEndian.Uint16(body[2:])))])
	digits, ok := value(text, "ERR")
	if !ok {
		digits, _ = value(text, "CODE")
	}
	code, _ := number(digits, most)
	return &refusal{code: code, text: text}
}

// redirected reads a REDIRECT; new servers put what it says into a packet of
// its own.
func (w *wire) redirected(body []byte) error {
	if len(body) < 2 {
		return mismatch("REDIRECT of %d bytes", len(body))
	}
	length, text := int(binary.BigEndian.Uint16(body)), body[2:]
	if len(text) == 0 && length > 0 {
		p, err := w.read()
		if err != nil {
			return err
		}
		if p.kind != packetData || len(p.body) < 2 {
			return mismatch("packet of type %d in a redirect", p.kind)
		}
		text = p.body[2:]
	}
	to, ok := parseRedirect(string(text[:min(len(text), length)]))
	if !ok {
		return mismatch("a redirect to nowhere")
	}
	return &redirectError{to: to}
}
