package oracletest

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"regexp"
	"strings"
)

// Release is the release of Oracle that a Server plays.
type Release struct {
	// Banner is what the protocol negotiation says.
	Banner string
	// Number is AUTH_VERSION_NO.
	Number uint32
	// TNS is the highest version of the network protocol.
	TNS uint16
	// Fields is the version of the fields in TTC messages.
	Fields byte
	// Hashed session keys: shorter ones, mixed with PBKDF2.
	Hashed bool
	// FastAuth takes negotiation and user name in one message, and marks the
	// ends of responses.
	FastAuth bool
}

// The releases whose messages differ. An 11.2 server accepts as 314; Release10
// is as old as may still be spoken to.
var (
	Release10 = Release{Banner: "x86_64/Linux 2.4.xx", Number: 0x0a200500, TNS: 313, Fields: 5}
	Release11 = Release{Banner: "x86_64/Linux 2.4.xx", Number: 0x0b200400, TNS: 314, Fields: 6}
	Release12 = Release{Banner: "x86_64/Linux 2.4.xx", Number: 0x0c100200, TNS: 315, Fields: 7, Hashed: true}
	Release19 = Release{Banner: "x86_64/Linux 2.4.xx", Number: 0x13030000, TNS: 318, Fields: 12, Hashed: true}
	Release23 = Release{Banner: "x86_64/Linux 2.4.xx", Number: 0x17040000, TNS: 319, Fields: 24, Hashed: true, FastAuth: true}
)

// What the instance accepts.
const (
	DefaultService = "dt_login"
	DefaultSID     = "DTSID"
)

// Server is one listener and its instance. Its fields are set before the first
// connection and not changed after.
type Server struct {
	Release  Release // default Release19
	Service  string  // default DefaultService
	SID      string  // default DefaultSID
	User     string
	Password string
	Verifier Verifier // default Verifier12c
	// Rounds is what the server asks of PBKDF2. Default 4096.
	Rounds int

	// TLS makes it a TCPS listener. Renegotiate hands the socket to a server
	// process, which makes a handshake of its own.
	TLS         *tls.Config
	Renegotiate bool

	// Refuse is the error with which the listener answers every CONNECT;
	// RefuseSID one that names a SID. It is silent if that is negative.
	Refuse, RefuseSID int
	// Resend is how often it asks for the CONNECT again.
	Resend int
	// Redirect sends every client to this address; Inline puts it into the
	// REDIRECT itself, as old listeners do, instead of a packet of its own.
	// RedirectData is what to connect with there; default: the same as here.
	Redirect, RedirectData string
	Inline                 bool
	// NativeEncryption demands Oracle's own encryption in the ACCEPT.
	NativeEncryption bool
	// SDU is the largest packet. Default 8192.
	SDU int

	// EarlyError ends the login when the user name has come; Error when the
	// right password has.
	EarlyError, Error int
	// Text gives what Error says. Default: the product's own words.
	Text func() string
	// Warning comes with a successful login, such as 28002.
	Warning int
	// Unproven: it answers a login without knowing the password. Unhashed: nor
	// does it do the work that it asks of the client.
	Unproven, Unhashed bool
	// PlainErrors come without the exchange of markers around them.
	PlainErrors bool

	// OnLogin is told when a password has come.
	OnLogin func()
}

// Visit is what one client did.
type Visit struct {
	// ConnectData is the last CONNECT's; Connects how many there were.
	ConnectData string
	Connects    int
	// Redirected: the client says that it was sent here.
	Redirected bool
	// Client is what the client says of itself: AUTH_PROGRAM_NM and so on.
	Client map[string]string
	// Passwords is how many came; LoggedIn whether one was right.
	Passwords int
	LoggedIn  bool
	Pings     int
	// LoggedOff and Goodbye: the two steps of an orderly end.
	LoggedOff, Goodbye bool
	// Err is what else ended it.
	Err error
}

func (s *Server) withDefaults() Server {
	c := *s
	if c.Release.TNS == 0 {
		c.Release = Release19
	}
	if c.Service == "" {
		c.Service = DefaultService
	}
	if c.SID == "" {
		c.SID = DefaultSID
	}
	if c.Rounds == 0 {
		c.Rounds = 4096
	}
	if c.SDU == 0 {
		c.SDU = 8192
	}
	return c
}

// Serve serves one connection until the client has gone. The caller closes it.
func (s *Server) Serve(ctx context.Context, conn net.Conn) Visit {
	c := s.withDefaults()
	t := &talk{Server: &c, wire: wire{conn: conn, sdu: c.SDU}, visit: Visit{Client: map[string]string{}}}
	if c.TLS != nil {
		t.secure(ctx, conn)
	}
	if version, ok := t.listen(ctx, conn); ok {
		t.accept(version)
		t.session()
	}
	t.visit.Err = t.err
	if t.err == errGoodbye { //nolint:errorlint // our own, unwrapped
		t.visit.Goodbye, t.visit.Err = true, nil
	}
	return t.visit
}

// talk is one connection of a server.
type talk struct {
	*Server
	wire
	visit Visit

	fields  byte // the version of the fields, once agreed
	marks   bool // ends of responses are marked
	bigTime bool // the client sends and wants time zones
	login   *login
}

// secure makes a handshake on the bare socket.
func (t *talk) secure(ctx context.Context, conn net.Conn) {
	secured := tls.Server(conn, t.TLS)
	if err := secured.HandshakeContext(ctx); err != nil {
		t.fail(err)
		return
	}
	t.conn = secured
}

// connectHead is how long a CONNECT of the first TNS versions is.
const connectHead = 34

// listen is the listener: it answers CONNECT until it lets the client through.
func (t *talk) listen(ctx context.Context, conn net.Conn) (version uint16, ok bool) {
	resend, renegotiate := t.Resend, t.Renegotiate
	for {
		p := t.readPacket()
		if t.err == nil && (p.kind != packetConnect || len(p.body) < connectHead-headerSize) {
			t.fail(fmt.Errorf("packet of type %d where CONNECT was due", p.kind))
		}
		if t.err != nil {
			return 0, false
		}
		data := t.connectData(p)
		t.visit.ConnectData, t.visit.Connects = data, t.visit.Connects+1
		t.visit.Redirected = p.flags&flagRedirected != 0
		switch {
		case renegotiate:
			renegotiate = false
			t.writePacket(packet{kind: packetResend, flags: flagRenegotiate})
			t.secure(ctx, conn)
		case resend > 0:
			resend--
			t.writePacket(packet{kind: packetResend})
		case t.Redirect != "":
			t.redirect(data)
			return 0, false
		default:
			switch code := t.refusal(data); {
			case code < 0:
				t.fill() // until the client has had enough
				return 0, false
			case code != 0:
				t.refuse(code)
				return 0, false
			}
			return min(binary.BigEndian.Uint16(p.body), t.Release.TNS), true
		}
	}
}

// connectData is what a CONNECT carries, or the DATA packet after it.
func (t *talk) connectData(p packet) string {
	length, offset := binary.BigEndian.Uint16(p.body[16:]), binary.BigEndian.Uint16(p.body[18:])
	whole := int(offset) + int(length) - headerSize
	if whole <= len(p.body) {
		return string(p.body[int(offset)-headerSize : whole])
	}
	b := t.raw(int(length))
	t.in = nil
	return string(b)
}

var (
	serviceName = regexp.MustCompile(`(?i)\(\s*SERVICE_NAME\s*=\s*([^()]*?)\s*\)`)
	sidName     = regexp.MustCompile(`(?i)\(\s*SID\s*=\s*([^()]*?)\s*\)`)
)

// refusal is the listener's error, 0 if it lets the client through.
func (t *talk) refusal(data string) int {
	service, sid := serviceName.FindStringSubmatch(data), sidName.FindStringSubmatch(data)
	switch {
	case t.Refuse != 0:
		return t.Refuse
	case sid != nil && t.RefuseSID != 0:
		return t.RefuseSID
	case service != nil && strings.EqualFold(service[1], t.Service), sid != nil && strings.EqualFold(sid[1], t.SID):
		return 0
	case service != nil:
		return 12514
	case sid != nil:
		return 12505
	default:
		return 12504
	}
}

func (t *talk) refuse(code int) {
	text := fmt.Sprintf("(DESCRIPTION=(TMP=)(VSNNUM=%d)(ERR=%d)(ERROR_STACK=(ERROR=(CODE=%d)(EMFI=4))))", t.Release.Number, code, code)
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(text)))
	t.writePacket(packet{kind: packetRefuse, body: append(body, text...)})
}

func (t *talk) redirect(data string) {
	text := t.Redirect + "\x00" + cmp.Or(t.RedirectData, data)
	body := binary.BigEndian.AppendUint16(nil, uint16(len(text)))
	if t.Inline {
		t.writePacket(packet{kind: packetRedirect, flags: flagSplit, body: append(body, text...)})
		return
	}
	t.writePacket(packet{kind: packetRedirect, flags: flagSplit, body: body})
	t.put([]byte(text)...)
	t.flush(dataEnd)
}

// accept lets the client through to the instance.
func (t *talk) accept(version uint16) {
	const (
		disabled, required = 0x04, 0x10 // of native network encryption
		fastAuth, marks    = 0x10000000, 0x02000000
		versionMarks       = 319
	)
	flags := byte(disabled | 1)
	if t.NativeEncryption {
		flags = required | 1
	}
	size := 32
	switch {
	case version >= versionFlags:
		size = 45
	case version >= versionLarge:
		size = 41
	}
	b := make([]byte, size)
	be := binary.BigEndian
	be.PutUint16(b[8:], version)
	be.PutUint16(b[12:], uint16(t.SDU))
	be.PutUint16(b[14:], uint16(t.SDU))
	be.PutUint16(b[16:], 0x0100)
	be.PutUint16(b[20:], uint16(size))
	b[22], b[23] = flags, flags
	if version >= versionLarge {
		be.PutUint32(b[32:], uint32(t.SDU))
		be.PutUint32(b[36:], uint32(t.SDU))
	}
	if version >= versionFlags && t.Release.FastAuth {
		extra := uint32(fastAuth)
		if version >= versionMarks {
			extra |= marks
			t.marks = true
		}
		be.PutUint32(b[41:], extra)
	}
	t.writePacket(packet{kind: packetAccept, body: b[headerSize:]})
	t.large = version >= versionLarge
}
