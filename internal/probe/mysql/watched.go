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
	packetLocalFile  = 0xfb
	packetOK         = 0x00
	packetMoreData   = 0x01
	packetAuthSwitch = 0xfe
	packetError      = 0xff
)

// watched is the connection as the driver has it. It gives back the greeting
// that was read already. Where the driver does not encrypt, it checks the size
// of every packet that comes. While watch is set, until the server accepts or
// refuses the login, it reads along on both sides: it asks for permission
// before the first byte leaves, notes the method of the login, and stops the
// driver where it would hand over the password in a readable form.
type watched struct {
	net.Conn               // the socket, which the driver may close at any time
	stream   io.ReadWriter // the socket, or TLS on it
	attempt  *attempt
	pending  []byte // the greeting, still to be given to the driver
	visible  bool   // the driver's talk is not encrypted here

	watch    bool
	permit   func() error                         // nil once asked
	encrypt  func(login []byte) (net.Conn, error) // nil if there is nothing to encrypt
	moreData bool                                 // the server's last packet asked for more than a proof
	// shift is 1 when a packet that the driver does not know of, the request
	// for TLS, has been sent: the numbers of the packets differ by it.
	shift  byte
	header int    // bytes of the current packet's header that were read
	length int    // bytes of the current packet's body still to come
	first  []byte // the beginning of that body
}

const (
	// keepFirst is how much of a packet is looked at: the name of a plugin.
	keepFirst = 64
	// maxReply bounds one packet of the server's: the driver makes room for
	// whatever length is announced, and no answer to us is long.
	maxReply = 64 << 10
)

func (w *watched) Read(p []byte) (int, error) {
	if len(w.pending) > 0 {
		n := copy(p, w.pending)
		w.pending = w.pending[n:]
		return n, nil
	}
	n, err := w.stream.Read(p)
	if err != nil && w.attempt.lost == nil {
		w.attempt.lost = err
	}
	if w.visible {
		if stop := w.follow(p[:n]); stop != nil {
			w.attempt.refusal = stop
			return 0, stop
		}
	}
	return n, err
}

// follow reads the server's packets along and renumbers them during the login.
func (w *watched) follow(p []byte) error {
	for i := range p {
		switch {
		case w.header < 3:
			w.length |= int(p[i]) << (8 * w.header)
			w.header++
		case w.header == 3:
			if w.length > maxReply {
				return probe.Fail(probe.CodePeerAbusive, fmt.Errorf("a packet of %d bytes", w.length))
			}
			if w.watch {
				p[i] -= w.shift
			}
			w.header, w.first = 4, w.first[:0]
		default:
			if len(w.first) < keepFirst {
				w.first = append(w.first, p[i])
			}
			w.length--
		}
		if w.header == 4 && w.length == 0 {
			if err := w.packet(); err != nil {
				return err
			}
			w.header = 0
		}
	}
	return nil
}

// packet judges one packet of the server's.
func (w *watched) packet() error {
	if len(w.first) == 0 {
		return nil
	}
	kind := w.first[0]
	switch {
	case !w.watch && kind == packetLocalFile:
		return probe.Fail(probe.CodePeerAbusive, errors.New("the server asks for a file of ours"))
	case !w.watch:
	case kind == packetOK, kind == packetError:
		w.watch = false
	case kind == packetMoreData:
		w.moreData = true
	case kind == packetAuthSwitch:
		name, _, _ := bytes.Cut(w.first[1:], []byte{0})
		w.attempt.session.Mechanism(string(name))
	}
	return nil
}

func (w *watched) Write(p []byte) (int, error) {
	if !w.watch {
		n, err := w.stream.Write(p)
		w.keep(err)
		return n, err
	}
	// The driver sends one packet at a time, and keeps its buffer.
	packet := bytes.Clone(p)
	if w.encrypt != nil {
		conn, err := w.encrypt(p)
		if err != nil {
			w.attempt.refusal = err
			return 0, err
		}
		w.stream, w.encrypt, w.shift = conn, nil, 1
		packet[5] |= capTLS >> 8 // the login says once more what was asked for
	}
	if err := w.may(); err != nil {
		w.attempt.refusal = err
		return 0, err
	}
	if len(packet) > 3 {
		packet[3] += w.shift
	}
	n, err := w.stream.Write(packet)
	w.keep(err)
	return n, err
}

// may says whether the driver's next packet may leave.
func (w *watched) may() error {
	a := w.attempt
	if w.permit != nil {
		permit := w.permit
		w.permit = nil
		a.session.Mechanism(a.greet.plugin)
		return permit()
	}
	// Every proof fits into the first answer. What the server asks for after
	// it is the password itself, under a key of its own choice.
	if w.moreData && !a.cfg.AllowRecoverable {
		return probe.Fail(probe.CodeInsecureLogin, errors.New("the server asks for the password itself"))
	}
	return nil
}

func (w *watched) keep(err error) {
	if err != nil && w.attempt.lost == nil {
		w.attempt.lost = err
	}
}
