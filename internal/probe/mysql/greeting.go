package mysql

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"dialtone/internal/probe"
)

// Capability flags of the greeting.
const (
	capLongPassword = 1 << 0 // MariaDB from 10.2 on leaves it out
	capLocalFiles   = 1 << 7
	capProtocol41   = 1 << 9
	capTLS          = 1 << 11
	capPluginAuth   = 1 << 19
)

// Plugins that need particular care.
const (
	nativePlugin  = "mysql_native_password"
	sha256Plugin  = "sha256_password"
	cachingPlugin = "caching_sha2_password"
)

// maxGreeting bounds the first packet: real ones have 60 to 200 bytes.
const maxGreeting = 4096

// greeting is the server's first packet.
type greeting struct {
	product, version, plugin string
	capabilities             uint32
	// capabilityAt is where the lower half of them stands in the packet, and
	// pluginAt where the plugin's name begins, 0 if there is none.
	capabilityAt, pluginAt int
}

func (g *greeting) offersTLS() bool { return g.capabilities&capTLS != 0 }

// shown is the plugin that the driver is told of.
func (g *greeting) shown(overTLS bool) string {
	if overTLS && g.plugin == sha256Plugin {
		return nativePlugin
	}
	return g.plugin
}

// forDriver is the packet as the driver shall see it: without LOCAL INFILE,
// which it would otherwise declare, though it refuses every file. Over TLS
// another plugin takes the place of sha256_password: the driver, who knows of
// no TLS, would ask for a key, which the server takes for the password. The
// server then asks to switch, and the answer to that is watched.
func (g *greeting) forDriver(packet []byte, overTLS bool) []byte {
	shown := bytes.Clone(packet)
	shown[g.capabilityAt] &^= capLocalFiles
	if plugin := g.shown(overTLS); plugin != g.plugin {
		shown = append(append(shown[:g.pluginAt], plugin...), 0)
		size := len(shown) - 4
		shown[0], shown[1] = byte(size&0xff), byte(size>>8&0xff)
	}
	return shown
}

// patience is how long a greeting is waited for before the silence is broken.
// It is most of the time there is: a MySQL server that looks our name up
// first can be silent for ten seconds, and is lost for the test once it has
// been sent a foreign word.
func patience(ctx context.Context, now time.Time) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return now.Add(deadline.Sub(now) * 3 / 4)
}

// readGreeting reads the first packet, header included. A MySQL server speaks
// first, so whoever stays silent is asked in PostgreSQL's words whether it
// would encrypt: a question of eight bytes that changes nothing anywhere and
// that PostgreSQL answers with one letter.
func readGreeting(ctx context.Context, conn net.Conn) ([]byte, error) {
	if err := conn.SetReadDeadline(patience(ctx, time.Now())); err != nil {
		return nil, err
	}
	buf := make([]byte, 4+maxGreeting)
	n, err := conn.Read(buf)
	deadline, _ := ctx.Deadline()
	if again := conn.SetReadDeadline(deadline); again != nil {
		return nil, again
	}
	switch {
	case n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
		return nil, breakSilence(conn)
	case n == 0 && err != nil:
		return nil, err
	}
	for n < 4 {
		more, err := conn.Read(buf[n:])
		if n += more; err != nil {
			return nil, err
		}
	}
	end := 4 + (int(buf[0]) | int(buf[1])<<8 | int(buf[2])<<16)
	for end > 4 && end <= len(buf) && n < end {
		more, err := conn.Read(buf[n:])
		if n += more; err != nil {
			return nil, err
		}
	}
	if n != end || end == 4 {
		return nil, probe.Fail(probe.CodeProtocolMismatch, fmt.Errorf("the first packet would have %d bytes", end-4))
	}
	return buf[:n], nil
}

// breakSilence asks whether this is PostgreSQL. Whatever answers has proven
// that it is not MySQL, or that it came too late; the Runner names it by its
// first bytes.
func breakSilence(conn net.Conn) error {
	if _, err := conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil {
		return err
	}
	answer := make([]byte, 5)
	n, err := conn.Read(answer)
	switch {
	case n == 0:
		return err
	case n == 1 && (answer[0] == 'S' || answer[0] == 'N'):
		return &probe.Error{Code: probe.CodeProtocolMismatch, LooksLike: "postgresql", Err: errors.New("it answers PostgreSQL's question for TLS")}
	case n == 5 && answer[3] == 0 && answer[4] == 0x0a:
		return &probe.Error{Code: probe.CodeTimeoutNoReply, Err: errors.New("the greeting came too late")}
	default:
		return probe.Fail(probe.CodeProtocolMismatch, errors.New("it spoke only when it was spoken to"))
	}
}

// parseGreeting checks the first packet as far as the driver relies on it; the
// driver itself would fail on a short one by an index out of range.
func parseGreeting(packet []byte) (*greeting, error) {
	body := packet[4:]
	if body[0] == 0xff {
		return nil, parseError(body)
	}
	mismatch := probe.Fail(probe.CodeProtocolMismatch, errors.New("the first packet is no greeting"))
	if packet[3] != 0 || body[0] < 9 || body[0] > 10 {
		return nil, mismatch
	}
	name, rest, ok := bytes.Cut(body[1:], []byte{0})
	// Behind the name: connection id, scramble, filler, and capabilities.
	if !ok || len(rest) < 4+8+1 || !printable(name) {
		return nil, mismatch
	}
	if body[0] == 9 || len(rest) < 15 {
		return nil, probe.Fail(probe.CodeVersionUnsupported, mysql.ErrOldProtocol)
	}
	g := &greeting{
		capabilityAt: 4 + 1 + len(name) + 1 + 13,
		capabilities: uint32(binary.LittleEndian.Uint16(rest[13:])),
	}
	if g.capabilities&capProtocol41 == 0 {
		return nil, probe.Fail(probe.CodeVersionUnsupported, mysql.ErrOldProtocol)
	}
	// Then character set, status, upper capabilities, a length, ten bytes of
	// zeros, the second half of the scramble, and the plugin's name.
	rest = rest[15:]
	if len(rest) < 3+2+1+10+13 {
		return nil, probe.Fail(probe.CodeVersionUnsupported, mysql.ErrOldProtocol)
	}
	g.capabilities |= uint32(binary.LittleEndian.Uint16(rest[3:])) << 16
	if g.capabilities&capPluginAuth != 0 {
		plugin, _, _ := bytes.Cut(rest[29:], []byte{0})
		g.plugin, g.pluginAt = string(plugin), len(packet)-len(rest)+29
	}
	g.product, g.version = product(string(name), g.capabilities)
	return g, nil
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return len(b) > 0
}

// product tells the relatives apart. MariaDB puts a version before its own, so
// that old clients take it for a MySQL that they know.
func product(name string, capabilities uint32) (string, string) {
	version := strings.TrimPrefix(name, "5.5.5-")
	switch {
	case strings.Contains(name, "MariaDB"), version != name, capabilities&capLongPassword == 0:
		return "MariaDB", version
	case strings.Contains(name, "TiDB"):
		return "TiDB", version
	default:
		return "MySQL", version
	}
}

// parseError reads an error packet that came in place of the greeting.
func parseError(body []byte) error {
	if len(body) < 3 {
		return probe.Fail(probe.CodeProtocolMismatch, errors.New("an error packet of two bytes"))
	}
	e := &mysql.MySQLError{Number: binary.LittleEndian.Uint16(body[1:])}
	text := body[3:]
	if len(text) >= 6 && text[0] == '#' {
		copy(e.SQLState[:], text[1:6])
		text = text[6:]
	}
	e.Message = string(text)
	return e
}

// sslRequest is the packet that asks the server to encrypt. It is the beginning
// of the login packet that follows it, with one flag more.
func sslRequest(login []byte) ([]byte, error) {
	const size = 32
	if len(login) < 4+size {
		return nil, errors.New("the driver's login is too short")
	}
	request := bytes.Clone(login[:4+size])
	request[0], request[1], request[2] = size, 0, 0
	request[5] |= capTLS >> 8
	return request, nil
}
