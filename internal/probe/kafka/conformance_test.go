package kafka_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"dialtone/internal/probe"
	"dialtone/internal/probe/kafka"
	"dialtone/internal/probe/probetest"
)

// fake is one connection of a broker that knows one user. Requests and answers
// are coded by kmsg, which is not what the prober reads answers with.
type fake struct {
	conn net.Conn
	// correlation is the number of the request that is being answered.
	correlation int32
	// change alters an answer before it is sent; nil: none.
	change func(kmsg.Response)
}

// ask reads a request; nil when there is none.
func (f *fake) ask() kmsg.Request {
	var size uint32
	if binary.Read(f.conn, binary.BigEndian, &size) != nil || size > 1<<16 {
		return nil // a real broker, too, ends the connection when a request is too large
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(f.conn, frame); err != nil || size < 10 {
		return nil
	}
	request := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(frame)))
	if request == nil {
		return nil
	}
	request.SetVersion(int16(binary.BigEndian.Uint16(frame[2:])))
	f.correlation = int32(binary.BigEndian.Uint32(frame[4:]))
	rest := frame[10+binary.BigEndian.Uint16(frame[8:]):]
	if request.IsFlexible() {
		rest = rest[1:]
	}
	if request.ReadFrom(rest) != nil {
		return nil
	}
	return request
}

// answer sends a response.
func (f *fake) answer(response kmsg.Response) {
	if f.change != nil {
		f.change(response)
	}
	_, _ = f.conn.Write(frame(response, f.correlation))
}

func frame(response kmsg.Response, correlation int32) []byte {
	body := binary.BigEndian.AppendUint32(nil, uint32(correlation))
	if response.IsFlexible() && response.Key() != int16(kmsg.ApiVersions) {
		body = append(body, 0)
	}
	body = response.AppendTo(body)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// known are the versions of a recent broker.
func known(version int16) *kmsg.ApiVersionsResponse {
	response := kmsg.NewPtrApiVersionsResponse()
	response.Version = version
	for key, newest := range map[kmsg.Key]int16{kmsg.ApiVersions: 4, kmsg.Metadata: 13, kmsg.SASLHandshake: 1, kmsg.SASLAuthenticate: 2} {
		response.ApiKeys = append(response.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: int16(key), MaxVersion: newest})
	}
	return response
}

// serve answers requests until the client is gone or does what it may not.
func (f *fake) serve(login func()) {
	in := false
	for {
		switch request := f.ask().(type) {
		case *kmsg.ApiVersionsRequest:
			f.answer(known(request.Version))
		case *kmsg.SASLHandshakeRequest:
			response := kmsg.NewPtrSASLHandshakeResponse()
			response.Version, response.SupportedMechanisms = request.Version, []string{"PLAIN"}
			if request.Mechanism != "PLAIN" {
				response.ErrorCode = 33
			}
			f.answer(response)
		case *kmsg.SASLAuthenticateRequest:
			login()
			response := kmsg.NewPtrSASLAuthenticateResponse()
			response.Version = request.Version
			in = string(request.SASLAuthBytes) == "\x00"+probetest.User+"\x00"+probetest.Password
			if !in {
				text := "Authentication failed: Invalid username or password: " + string(request.SASLAuthBytes)
				response.ErrorCode, response.ErrorMessage = 58, &text
			}
			f.answer(response)
			if !in {
				return
			}
		case *kmsg.MetadataRequest:
			if !in || request.Topics == nil || len(request.Topics) > 0 {
				return
			}
			f.answer(self(f.conn, request.Version))
		default:
			return
		}
	}
}

// self is a cluster of one broker, at the address where it was found.
func self(conn net.Conn, version int16) *kmsg.MetadataResponse {
	host, port, _ := net.SplitHostPort(conn.LocalAddr().String())
	n, _ := strconv.Atoi(port)
	response := kmsg.NewPtrMetadataResponse()
	response.Version, response.ClusterID = version, new("fake")
	response.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: host, Port: int32(n), Rack: new("r1")}}
	return response
}

// accept serves one connection as a broker that works.
func accept(s *probetest.Server, conn net.Conn, config *tls.Config) {
	f := &fake{conn: conn}
	if config != nil {
		f.conn = tls.Server(conn, config)
	}
	f.serve(s.Login)
}

func TestConformance(t *testing.T) { //nolint:paralleltest // it looks for goroutines left behind
	opening := frame(known(3), 1)
	reset := probetest.Want{Code: probe.CodeClosedNoReply, Phase: probe.PhaseProtocol}
	probetest.Run(t, probetest.Suite{
		// What is sent in the clear is compared with the real broker's answers elsewhere.
		Engine: probe.Kafka, Prober: kafka.New(kafka.Config{AllowRecoverable: true}),
		Accept:  accept,
		Opening: opening,
		Huge:    []byte{0x7f, 0xff, 0xff, 0xff},
		Endless: func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			for many := bytes.Repeat(opening, 1000); ; {
				if _, err := conn.Write(many); err != nil {
					return
				}
			}
		},
		Prepare: func(t *probe.Target) {
			t.Kafka = &probe.KafkaSecurity{Protocol: "SASL_PLAINTEXT", SASLMechanism: "PLAIN"}
			if t.TLS != nil {
				t.Kafka.Protocol = "SASL_SSL"
			}
		},
		Verdicts: map[string]probetest.Want{
			// Each question has one answer; a second is one to another question.
			"never ends": {Code: probe.CodeProtocolMismatch, Phase: probe.PhaseProtocol},
			// Nothing has come before TLS, so nothing has come at all.
			"reset where TLS was due": reset,
			"unknown database":        {}, // there are no databases
			"is busy":                 {}, // a full broker lets wait, or hangs up
		},
	})
}
