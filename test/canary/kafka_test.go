package canary_test

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"dialtone/test/system"
)

// admitKafka makes a user of SCRAM in the real broker, through its listener
// that lets everybody in.
func admitKafka(t *testing.T, user, password string) string {
	t.Helper()
	change := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	const sha256Mechanism, iterations = 1, 4096
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	change.Upsertions = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{{
		Name: user, Mechanism: sha256Mechanism, Iterations: iterations, Salt: salt, SaltedPassword: salted,
	}}
	response := kmsg.NewPtrAlterUserSCRAMCredentialsResponse()
	askKafka(t, change, response)
	for _, r := range response.Results {
		if r.ErrorCode != 0 {
			t.Fatalf("Kafka refuses to make a user: %d", r.ErrorCode)
		}
	}
	t.Cleanup(func() {
		remove := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		remove.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: user, Mechanism: sha256Mechanism}}
		askKafka(t, remove, kmsg.NewPtrAlterUserSCRAMCredentialsResponse())
	})
	return system.Need(t, "DIALTONE_TEST_KAFKA_SASL_ADDR")
}

// askKafka makes one request.
func askKafka(t *testing.T, request kmsg.Request, response kmsg.Response) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", system.Need(t, "DIALTONE_TEST_KAFKA_ADDR"), system.WaitForServers)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(system.WaitForServers))
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("canary")).AppendRequest(nil, request, 7)); err != nil {
		t.Fatal(err)
	}
	var size uint32
	if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(conn, frame); err != nil {
		t.Fatal(err)
	}
	body := frame[4:]
	if response.IsFlexible() {
		body = body[1:]
	}
	if err := response.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
}

// hostileKafka is a broker for PLAIN that answers the password with a text.
func hostileKafka(c net.Conn, say func() string) {
	for {
		var size uint32
		if binary.Read(c, binary.BigEndian, &size) != nil || size > 1<<16 || size < 10 {
			return
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(c, frame); err != nil {
			return
		}
		version := int16(binary.BigEndian.Uint16(frame[2:]))
		correlation := binary.BigEndian.Uint32(frame[4:])
		var response kmsg.Response
		switch kmsg.Key(binary.BigEndian.Uint16(frame)) {
		case kmsg.ApiVersions:
			r := kmsg.NewPtrApiVersionsResponse()
			for key, newest := range map[kmsg.Key]int16{kmsg.ApiVersions: 4, kmsg.Metadata: 13, kmsg.SASLHandshake: 1, kmsg.SASLAuthenticate: 2} {
				r.ApiKeys = append(r.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: int16(key), MaxVersion: newest})
			}
			response = r
		case kmsg.SASLHandshake:
			r := kmsg.NewPtrSASLHandshakeResponse()
			r.SupportedMechanisms = []string{"PLAIN"}
			response = r
		case kmsg.SASLAuthenticate:
			const authenticationFailed = 58
			text := say()
			r := kmsg.NewPtrSASLAuthenticateResponse()
			r.ErrorCode, r.ErrorMessage = authenticationFailed, &text
			response = r
		default:
			return
		}
		response.SetVersion(version)
		body := binary.BigEndian.AppendUint32(nil, correlation)
		if response.IsFlexible() && response.Key() != int16(kmsg.ApiVersions) {
			body = append(body, 0)
		}
		body = response.AppendTo(body)
		if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
			return
		}
	}
}
