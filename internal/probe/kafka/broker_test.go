package kafka_test

import (
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"dialtone/internal/probe"
	"dialtone/internal/probe/kafka"
	"dialtone/internal/probe/probetest"
	"dialtone/internal/secret"
)

// Brokers that a real one of today cannot be made to be.

// fakeTarget is an account on a fake broker; no mechanism means PLAINTEXT.
func fakeTarget(server *probetest.Server, mechanism string) probe.Target {
	t := probe.Target{
		Engine: probe.Kafka, Network: "vpc", User: probetest.User, Password: secret.New(probetest.Password),
		Addresses: []probe.Address{{Host: server.Addr.Addr().String(), Port: server.Addr.Port()}},
		Kafka:     &probe.KafkaSecurity{Protocol: "PLAINTEXT", SASLMechanism: mechanism},
	}
	if mechanism != "" {
		t.Kafka.Protocol = "SASL_PLAINTEXT"
	}
	return t
}

// scripted answers each request with what the script makes of it; nil ends the
// connection.
func scripted(script func(f *fake, request kmsg.Request) kmsg.Response) func(*probetest.Server, net.Conn) {
	return func(_ *probetest.Server, conn net.Conn) {
		f := &fake{conn: conn}
		for {
			request := f.ask()
			if request == nil {
				return
			}
			response := script(f, request)
			if response == nil {
				return
			}
			f.answer(response)
		}
	}
}

// usual is the answer of a broker without logins.
func usual(f *fake, request kmsg.Request) kmsg.Response {
	switch request := request.(type) {
	case *kmsg.ApiVersionsRequest:
		return known(request.Version)
	case *kmsg.SASLHandshakeRequest:
		return request.ResponseKind()
	case *kmsg.MetadataRequest:
		return self(f.conn, request.Version)
	default:
		return nil
	}
}

func TestOddBrokers(t *testing.T) {
	t.Parallel()
	// only makes a broker know one request in one range of versions.
	only := func(key kmsg.Key, oldest, newest int16) func(*fake, kmsg.Request) kmsg.Response {
		return func(f *fake, request kmsg.Request) kmsg.Response {
			response := usual(f, request)
			if versions, ok := response.(*kmsg.ApiVersionsResponse); ok {
				for i := range versions.ApiKeys {
					if versions.ApiKeys[i].ApiKey == int16(key) {
						versions.ApiKeys[i].MinVersion, versions.ApiKeys[i].MaxVersion = oldest, newest
					}
				}
			}
			return response
		}
	}
	// challenge begins a SCRAM exchange with so many iterations.
	challenge := func(iterations string) func(*fake, kmsg.Request) kmsg.Response {
		nonce := regexp.MustCompile(`r=([^,]+)`)
		return func(f *fake, request kmsg.Request) kmsg.Response {
			step, ok := request.(*kmsg.SASLAuthenticateRequest)
			if !ok {
				return usual(f, request)
			}
			response := kmsg.NewPtrSASLAuthenticateResponse()
			response.Version = step.Version
			found := nonce.FindSubmatch(step.SASLAuthBytes)
			if !strings.Contains(string(step.SASLAuthBytes), ",p=") && found != nil {
				response.SASLAuthBytes = []byte("r=" + string(found[1]) + "x,s=QSXCR+Q6sek8bf92,i=" + iterations)
			} else {
				response.SASLAuthBytes = []byte("v=AAAA")
			}
			return response
		}
	}
	for _, tc := range []struct {
		name, mechanism string
		script          func(*fake, kmsg.Request) kmsg.Response
		code            probe.Code
		phase           probe.Phase
		logins          int
	}{
		{"before 2.4: the version of the first question is unknown", "", func(f *fake, request kmsg.Request) kmsg.Response {
			if versions, ok := request.(*kmsg.ApiVersionsRequest); ok && versions.Version > 0 {
				response := kmsg.NewPtrApiVersionsResponse()
				response.ErrorCode = 35
				return response
			}
			return only(kmsg.Metadata, 0, 5)(f, request)
		}, probe.CodeOK, "", 0},
		{"before 0.10: metadata without a way to ask for no topic", "", only(kmsg.Metadata, 0, 0), probe.CodeVersionUnsupported, probe.PhaseProtocol, 0},
		{"after us: metadata of the future only", "", only(kmsg.Metadata, 13, 20), probe.CodeVersionUnsupported, probe.PhaseProtocol, 0},
		{"SASL outside of requests only", "PLAIN", only(kmsg.SASLHandshake, 0, 0), probe.CodeVersionUnsupported, probe.PhaseProtocol, 0},
		{"no brokers yet", "", func(f *fake, request kmsg.Request) kmsg.Response {
			response := usual(f, request)
			if metadata, ok := response.(*kmsg.MetadataResponse); ok {
				metadata.Brokers = nil
			}
			return response
		}, probe.CodeServerNotReady, probe.PhaseSession, 0},
		{"an advertised port that is none", "", func(f *fake, request kmsg.Request) kmsg.Response {
			response := usual(f, request)
			if metadata, ok := response.(*kmsg.MetadataResponse); ok {
				metadata.Brokers[0].Port = 70000
			}
			return response
		}, probe.CodeAdvertisedUnreachable, probe.PhaseTopology, 0},
		{"an error code that has no verdict", "", func(f *fake, request kmsg.Request) kmsg.Response {
			response := kmsg.NewPtrApiVersionsResponse()
			response.ErrorCode = 56
			return response
		}, probe.CodeServerError, probe.PhaseProtocol, 0},
		{"an hour of key derivation", "SCRAM-SHA-512", challenge("200000000"), probe.CodePeerAbusive, probe.PhaseLogin, 1},
		{"a broker that does not know the password either", "SCRAM-SHA-256", challenge("4096"), probe.CodeProtocolMismatch, probe.PhaseLogin, 1},
		{"a login that is hung up on", "PLAIN", func(f *fake, request kmsg.Request) kmsg.Response {
			return usual(f, request) // which knows no login
		}, probe.CodeConnectionLost, probe.PhaseLogin, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := probetest.Serve(t, scripted(tc.script))
			start := time.Now()
			run(t, kafka.Config{AllowRecoverable: true}, fakeTarget(server, tc.mechanism), tc.code, tc.phase, tc.logins)
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("the test took %s", took)
			}
		})
	}
}

// cluster answers as a broker whose cluster has brokers at these addresses too.
func cluster(others ...netip.AddrPort) func(*probetest.Server, net.Conn) {
	return scripted(func(f *fake, request kmsg.Request) kmsg.Response {
		response := usual(f, request)
		if metadata, ok := response.(*kmsg.MetadataResponse); ok {
			for i, other := range others {
				metadata.Brokers = append(metadata.Brokers, kmsg.MetadataResponseBroker{
					NodeID: int32(i + 2), Host: other.Addr().String(), Port: int32(other.Port()),
				})
			}
		}
		return response
	})
}

func TestAdvertisedListeners(t *testing.T) {
	t.Parallel()
	good := probetest.Serve(t, cluster())
	silent := probetest.Serve(t, func(_ *probetest.Server, conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) })
	t.Run("all good", func(t *testing.T) {
		t.Parallel()
		server := probetest.Serve(t, cluster(good.Addr))
		r := run(t, kafka.Config{}, fakeTarget(server, ""), probe.CodeOK, "", 0)
		want := probe.MemberResult{Address: good.Addr.String(), Role: "broker 2", Code: probe.CodeOK, Reached: probe.PhaseProtocol}
		if m := r.Evidence.Members; len(m) != 1 || m[0] != want {
			t.Errorf("members %+v, want %+v", m, want)
		}
		if n := server.Accepted(); n != 1 {
			t.Errorf("%d connections to the address itself, want 1", n)
		}
	})
	t.Run("one bad", func(t *testing.T) {
		t.Parallel()
		server := probetest.Serve(t, cluster(good.Addr, silent.Addr))
		r := run(t, kafka.Config{}, fakeTarget(server, ""), probe.CodeAdvertisedUnreachable, probe.PhaseTopology, 0)
		m := r.Evidence.Members
		if len(m) != 2 || m[0].Code != probe.CodeOK || m[1].Code != probe.CodeClosedNoReply {
			t.Errorf("members %+v", m)
		}
	})
	t.Run("one forbidden", func(t *testing.T) {
		t.Parallel()
		forbidden := probetest.Serve(t, cluster())
		server := probetest.Serve(t, cluster(good.Addr, forbidden.Addr))
		runner, err := probe.NewRunner(probetest.Only(t, server.Addr, good.Addr), []probe.Prober{kafka.New(kafka.Config{})},
			probe.RunnerConfig{Timeout: serverTimeout})
		if err != nil {
			t.Fatal(err)
		}
		r, err := runner.Run(t.Context(), fakeTarget(server, ""))
		if err != nil {
			t.Fatal(err)
		}
		if r.Code != probe.CodeTargetNotAllowed || r.Phase != probe.PhaseTopology {
			t.Errorf("Run() = %s in %q, want %s in %q", r.Code, r.Phase, probe.CodeTargetNotAllowed, probe.PhaseTopology)
		}
		if n := forbidden.Accepted(); n != 0 {
			t.Errorf("%d connections to a forbidden address", n)
		}
	})
}

// Addresses of different clusters are no target, where that can be seen
// without a login.
func TestTwoClusters(t *testing.T) {
	t.Parallel()
	named := func(id string) *probetest.Server {
		return probetest.Serve(t, scripted(func(f *fake, request kmsg.Request) kmsg.Response {
			response := usual(f, request)
			if metadata, ok := response.(*kmsg.MetadataResponse); ok {
				metadata.ClusterID = &id
			}
			return response
		}))
	}
	one, same, other := named("one"), named("one"), named("other")
	target := fakeTarget(one, "")
	target.Addresses = append(target.Addresses, fakeTarget(same, "").Addresses[0])
	run(t, kafka.Config{}, target, probe.CodeOK, "", 0)
	target.Addresses = append(target.Addresses, fakeTarget(other, "").Addresses[0])
	run(t, kafka.Config{}, target, probe.CodeTopologyMismatch, probe.PhaseTopology, 0)
}
