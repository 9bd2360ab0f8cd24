package mysql

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"

	"dialtone/internal/probe"
)

// Marks of packets that the server sends while a login goes on, and of the one
// that must not follow it.
const (
	packetOK         = 0x00
	packetMoreData   = 0x01
	packetLocalFile  = 0xfb
	packetAuthSwitch = 0xfe
	packetError      = 0xff
)

// Requests of the driver's for a key under which to send the password.
const (
	askKeySHA256  = 0x01
	askKeyCaching = 0x02
)

// fastLogin is what caching_sha2_password says when a proof was enough.
const fastLogin = 0x03

const (
	// keepFirst is how much of a packet is looked at.
	keepFirst = 4 << 10
	// maxReply bounds one packet of the server's: the driver makes room for
	// whatever length is announced, and no answer to us is long.
	maxReply = 64 << 10
	// scrambleSize is the length of the challenge that a proof is made of.
	scrambleSize = 20
)

// watched is the connection as the driver has it. It gives back the greeting
// that was read already, and checks every packet that comes. Until the server
// accepts or refuses the login, it reads along on both sides: it asks for
// permission before the first byte of the login leaves, notes the method, and
// stops the driver where it would hand over the password in a readable form.
//
// The two sides take turns: a server that says more before its demand is
// answered is refused, because the answer would be judged by what came last
// and not by what the driver answers. It may ask to switch once, may ask for
// more only with the methods that do, and gets the password itself once.
//
// Over TLS the driver believes the connection to be plain. Where the server
// wants the password itself and may have it, the answer is given here.
type watched struct {
	net.Conn               // the socket, which the driver may close at any time
	stream   io.ReadWriter // the socket, or TLS on it
	attempt  *attempt
	pending  []byte // for the driver to read before anything else

	login   bool                                 // the login is not over
	encrypt func(login []byte) (net.Conn, error) // nil: there is nothing to encrypt, or it is done
	permit  func() error                         // nil: was asked
	plugin  string                               // the method in use
	settled bool                                 // the method is not to change any more
	owed    bool                                 // the server waits for an answer
	asked   bool                                 // and it is to be more than a proof
	given   bool                                 // the password itself has left
	swallow bool                                 // the driver's next packet is for nobody
	// shift is how far the server's numbers of packets are ahead of those
	// that the driver counts.
	shift byte

	header int    // bytes of the current packet's header that were read
	size   int    // bytes of its body
	left   int    // bytes of its body still to come
	first  []byte // the beginning of it
}

func (w *watched) Read(p []byte) (int, error) {
	if len(w.pending) > 0 {
		n := copy(p, w.pending)
		w.pending = w.pending[n:]
		return n, nil
	}
	n, err := w.stream.Read(p)
	w.keep(err)
	if stop := w.follow(p[:n]); stop != nil {
		w.attempt.refusal = stop
		return 0, stop
	}
	return n, err
}

// follow reads the server's packets along and renumbers them during the login.
func (w *watched) follow(p []byte) error {
	for i := range p {
		if w.login && w.owed {
			return outOfTurn("more before the answer")
		}
		switch {
		case w.header < 3:
			w.left |= int(p[i]) << (8 * w.header)
			w.header++
		case w.header == 3:
			if w.left > maxReply {
				return probe.Fail(probe.CodePeerAbusive, fmt.Errorf("a packet of %d bytes", w.left))
			}
			if w.login {
				p[i] -= w.shift
			}
			w.header, w.size, w.first = 4, w.left, w.first[:0]
		default:
			if len(w.first) < keepFirst {
				w.first = append(w.first, p[i])
			}
			w.left--
		}
		if w.header == 4 && w.left == 0 {
			w.header = 0
			if err := w.packet(); err != nil {
				return err
			}
		}
	}
	return nil
}

// packet judges one packet of the server's.
func (w *watched) packet() error {
	if w.size == 0 {
		return nil // the driver knows that it is wrong
	}
	kind := w.first[0]
	switch {
	case !w.login:
		if kind == packetLocalFile {
			return probe.Fail(probe.CodePeerAbusive, errors.New("the server asks for a file of ours"))
		}
		return nil
	case !w.sound(kind):
		return probe.Fail(probe.CodeProtocolMismatch, errors.New("a packet of the login is cut short"))
	}
	switch kind {
	case packetOK, packetError:
		w.login = false
	case packetMoreData:
		if w.given || w.plugin != cachingPlugin && w.plugin != sha256Plugin {
			return outOfTurn("a demand for more than the method gives")
		}
		w.settled = true
		// The one that asks for nothing says that the proof was good.
		w.owed = w.plugin != cachingPlugin || w.first[1] != fastLogin
		w.asked = w.owed
	case packetAuthSwitch:
		if w.settled {
			return outOfTurn("a switch of the method")
		}
		name, _, _ := bytes.Cut(w.first[1:], []byte{0})
		w.plugin, w.settled, w.owed = string(name), true, true
		w.attempt.session.Mechanism(w.plugin)
	}
	return nil
}

func outOfTurn(what string) error {
	return probe.Fail(probe.CodeProtocolMismatch, errors.New("out of turn: "+what))
}

// sound says whether the driver can read a packet of the login: it would
// panic at one that is too short.
func (w *watched) sound(kind byte) bool {
	body := w.first[1:]
	switch kind {
	case packetOK:
		for range 2 { // affected rows, insert id
			size := lengthOfInteger(body)
			if size > len(body) {
				return false
			}
			body = body[size:]
		}
		return len(body) >= 2
	case packetError:
		return len(body) >= 3 && (body[2] != '#' || len(body) >= 8)
	case packetAuthSwitch:
		name, data, _ := bytes.Cut(body, []byte{0})
		return string(name) != nativePlugin || len(bytes.TrimSuffix(data, []byte{0})) >= scrambleSize
	case packetMoreData:
		return len(body) == 1 || holdsRSAKey(body)
	default:
		return true // the driver knows that it is wrong
	}
}

// lengthOfInteger is how many bytes an integer of the protocol takes.
func lengthOfInteger(b []byte) int {
	if len(b) == 0 {
		return 1
	}
	switch b[0] {
	case 0xfc:
		return 3
	case 0xfd:
		return 4
	case 0xfe:
		return 9
	default:
		return 1
	}
}

// Write takes one packet of the driver's: it never sends more at once, and
// needs its buffer again.
func (w *watched) Write(p []byte) (int, error) {
	if w.swallow {
		w.swallow = false
		return len(p), nil
	}
	packet := bytes.Clone(p)
	if w.login {
		var err error
		if packet, err = w.leave(packet); err != nil {
			w.attempt.refusal = err
			return 0, err
		}
		packet[3] += w.shift
	}
	if answered := w.swallow; answered {
		w.shift -= 2 // what the driver believes to have gone to and fro
	}
	if _, err := w.stream.Write(packet); err != nil {
		w.keep(err)
		return 0, err
	}
	return len(p), nil
}

// leave says what of the driver's packet may leave during the login.
func (w *watched) leave(packet []byte) ([]byte, error) {
	if len(packet) < 4 {
		return nil, probe.Fail(probe.CodeInternal, errors.New("the driver sent less than a header"))
	}
	a := w.attempt
	if w.encrypt != nil {
		conn, err := w.encrypt(packet)
		if err != nil {
			return nil, err
		}
		w.stream, w.encrypt, w.shift = conn, nil, 1
		packet[5] |= capTLS >> 8 // the login says once more what was asked for
	}
	overTLS := a.session.Target.TLS != nil
	if w.permit != nil {
		if err := w.permit(); err != nil {
			return nil, err
		}
		w.permit = nil
		w.plugin = a.greet.shown(overTLS)
		a.session.Mechanism(a.greet.plugin)
		return packet, nil
	}
	if !w.owed {
		return nil, outOfTurn("the driver answers what was not asked")
	}
	// Every proof fits into one answer. What is asked for after it is the
	// password itself, under a key of the server's own choice or none.
	asked := w.asked
	w.owed, w.asked = false, false
	wantsPassword := asked || overTLS && w.plugin == sha256Plugin && isByte(packet, askKeySHA256)
	switch {
	case !wantsPassword:
		return packet, nil
	case !a.readable():
		return nil, probe.Fail(probe.CodeInsecureLogin, errors.New("the server asks for the password itself"))
	case !overTLS:
		w.given = !isByte(packet, askKeyCaching)
		return packet, nil
	case isByte(packet, askKeyCaching):
		// The driver gets a key to encrypt with; what it encrypts is dropped.
		w.swallow = true
		w.pending = frame(packet[3]+1, string(rune(packetMoreData))+decoyKey)
	}
	w.given = true
	return frame(packet[3], a.session.Target.Password.Reveal()+"\x00"), nil
}

// isByte says whether a packet holds that one byte.
func isByte(packet []byte, b byte) bool { return len(packet) == 5 && packet[4] == b }

// frame makes a packet.
func frame(number byte, body string) []byte {
	size := len(body)
	return append([]byte{byte(size & 0xff), byte(size >> 8 & 0xff), byte(size >> 16 & 0xff), number}, body...)
}

func (w *watched) keep(err error) {
	if err != nil && w.attempt.lost == nil {
		w.attempt.lost = err
	}
}
