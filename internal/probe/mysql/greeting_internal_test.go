package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"dialtone/internal/probe"
)

func packet(body []byte) []byte {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	return append(head, body...)
}

func greetingOf(version string, caps uint32, plugin string) []byte {
	return packet(slices.Concat(
		[]byte{10}, []byte(version), []byte{0}, make([]byte, 4), []byte("12345678"), []byte{0, byte(caps), byte(caps >> 8)},
		[]byte{45, 2, 0, byte(caps >> 16), byte(caps >> 24), 21}, make([]byte, 10), []byte("123456789012\x00"), []byte(plugin), []byte{0},
	))
}

const usual = capLongPassword | capLocalFiles | capProtocol41 | capPluginAuth

func TestParseGreeting(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                     string
		packet                   []byte
		product, version, plugin string
		tls                      bool
	}{
		{"MySQL 8", greetingOf("8.0.36", usual|capTLS, "caching_sha2_password"), "MySQL", "8.0.36", "caching_sha2_password", true},
		{"MariaDB 10", greetingOf("5.5.5-10.11.6-MariaDB-1", usual, "mysql_native_password"), "MariaDB", "10.11.6-MariaDB-1", "mysql_native_password", false},
		{"MariaDB 11", greetingOf("11.4.2-MariaDB", usual&^capLongPassword, "mysql_native_password"), "MariaDB", "11.4.2-MariaDB", "mysql_native_password", false},
		{"TiDB", greetingOf("8.0.11-TiDB-v7.5.0", usual, "mysql_native_password"), "TiDB", "8.0.11-TiDB-v7.5.0", "mysql_native_password", false},
		{"without plugins", greetingOf("5.1.73", usual&^capPluginAuth, ""), "MySQL", "5.1.73", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			g, err := parseGreeting(tc.packet)
			if err != nil {
				t.Fatal(err)
			}
			if g.product != tc.product || g.version != tc.version || g.plugin != tc.plugin || g.offersTLS() != tc.tls {
				t.Errorf("parseGreeting() = %+v, TLS %v; want %+v", g, g.offersTLS(), tc)
			}
			shown, err := parseGreeting(g.forDriver(tc.packet, false))
			if err != nil || shown.capabilities != g.capabilities&^capLocalFiles {
				t.Errorf("the driver is shown %+v, %v; want all but LOCAL INFILE", shown, err)
			}
		})
	}
}

// Over TLS the driver must not begin with sha256_password.
func TestGreetingHidesSHA256(t *testing.T) {
	t.Parallel()
	whole := greetingOf("8.0.36", usual|capTLS, "sha256_password")
	g, err := parseGreeting(whole)
	if err != nil {
		t.Fatal(err)
	}
	for overTLS, want := range map[bool]string{false: "sha256_password", true: "mysql_native_password"} {
		packet := g.forDriver(whole, overTLS)
		shown, err := parseGreeting(packet)
		if err != nil || shown.plugin != want || int(packet[0]) != len(packet)-4 {
			t.Errorf("over TLS %v the driver is shown %+v in %q, %v; want %s", overTLS, shown, packet, err, want)
		}
	}
}

func TestParseGreetingRefuses(t *testing.T) {
	t.Parallel()
	whole := greetingOf("8.0.36", usual, "mysql_native_password")
	old := slices.Clone(whole)
	old[4] = 9
	numbered := slices.Clone(whole)
	numbered[3] = 1
	for _, tc := range []struct {
		name   string
		packet []byte
		want   probe.Code
	}{
		{"protocol 9", old, probe.CodeVersionUnsupported},
		{"protocol 4.0", greetingOf("4.0.1", usual&^capProtocol41, ""), probe.CodeVersionUnsupported},
		{"no second half", packet(whole[4:31]), probe.CodeVersionUnsupported},
		{"no name", packet([]byte("\x0aabcdef")), probe.CodeProtocolMismatch},
		{"an empty name", greetingOf("", usual, ""), probe.CodeProtocolMismatch},
		{"a name that cannot be printed", greetingOf("8\x01", usual, ""), probe.CodeProtocolMismatch},
		{"not the first packet", numbered, probe.CodeProtocolMismatch},
		{"another protocol", packet([]byte("Bgarbage")), probe.CodeProtocolMismatch},
		{"half an error", packet([]byte{0xff, 1}), probe.CodeProtocolMismatch},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseGreeting(tc.packet)
			if known, ok := errors.AsType[*probe.Error](err); !ok || known.Code != tc.want {
				t.Errorf("parseGreeting() = %v, want %s", err, tc.want)
			}
		})
	}
}

// Whatever comes first, it is a greeting that the driver can read, a verdict,
// or the server's own error.
func FuzzParseGreeting(f *testing.F) {
	for _, body := range [][]byte{
		greetingOf("8.0.36", usual|capTLS, "caching_sha2_password")[4:],
		greetingOf("5.5.5-10.11.6-MariaDB", usual, "mysql_native_password")[4:],
		[]byte("\xff\x10\x04#08004Too many connections"),
		{9},
		{0},
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 || len(body) > maxGreeting {
			return // readGreeting lets none of these through
		}
		whole := packet(body)
		g, err := parseGreeting(whole)
		if err == nil {
			if shown := g.forDriver(whole, false); len(shown) != len(whole) || bytes.Equal(shown, whole) != (whole[g.capabilityAt]&capLocalFiles == 0) {
				t.Errorf("the driver is shown %q of %q", shown, whole)
			}
			return
		}
		_, verdict := errors.AsType[*probe.Error](err)
		_, refused := errors.AsType[*mysql.MySQLError](err)
		if !verdict && !refused {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

func TestSSLRequest(t *testing.T) {
	t.Parallel()
	login := append(packet([]byte(strings.Repeat("l", 32))), "user and more"...)
	got, err := sslRequest(login)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 36 || got[0] != 32 || got[5] != 'l'|capTLS>>8 || bytes.Contains(got, []byte("user")) {
		t.Errorf("sslRequest() = %q", got)
	}
	if _, err := sslRequest(login[:30]); err == nil {
		t.Error("sslRequest() took a login that is too short")
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	now := time.Now()
	if got := patience(t.Context(), now); !got.IsZero() {
		t.Errorf("without a deadline the silence is broken at %v", got)
	}
}
