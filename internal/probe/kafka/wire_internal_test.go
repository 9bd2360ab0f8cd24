package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What kmsg writes is read as it was meant, in every version that is asked for.
func TestAnswersOfEveryVersion(t *testing.T) {
	t.Parallel()
	for version := int16(1); version <= 12; version++ {
		t.Run(fmt.Sprintf("metadata %d", version), func(t *testing.T) {
			t.Parallel()
			r := kmsg.NewPtrMetadataResponse()
			r.Version, r.ThrottleMillis, r.ControllerID, r.ClusterID = version, 7, 2, new("cluster-id")
			r.Brokers = []kmsg.MetadataResponseBroker{
				{NodeID: 1, Host: "a.example", Port: 9092, Rack: new("r")},
				{NodeID: 2, Host: "b.example", Port: 65535},
				{NodeID: -1, Host: "", Port: 0},
			}
			want := cluster{brokers: []broker{{1, "a.example", 9092}, {2, "b.example", 65535}, {-1, "", 0}}}
			if version >= 2 {
				want.id = "cluster-id"
			}
			got, err := readMetadata(r.AppendTo(nil), version)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(cluster{}, broker{})); err != nil || diff != "" {
				t.Errorf("readMetadata() error = %v (-want +got):\n%s", err, diff)
			}
		})
	}
	for version := int16(0); version <= 4; version++ {
		t.Run(fmt.Sprintf("versions %d", version), func(t *testing.T) {
			t.Parallel()
			r := kmsg.NewPtrApiVersionsResponse()
			r.Version = version
			r.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: 3, MinVersion: 0, MaxVersion: 13}, {ApiKey: 36, MinVersion: 1, MaxVersion: 2}}
			r.FinalizedFeatures = []kmsg.ApiVersionsResponseFinalizedFeature{{Name: "metadata.version", MaxVersionLevel: 27}}
			want := versions{3: {0, 13}, 36: {1, 2}}
			got, code, err := readVersions(r.AppendTo(nil), version)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(span{})); err != nil || code != 0 || diff != "" {
				t.Errorf("readVersions() = code %d, error %v (-want +got):\n%s", code, err, diff)
			}
		})
	}
	for version := int16(0); version <= 2; version++ {
		t.Run(fmt.Sprintf("authenticate %d", version), func(t *testing.T) {
			t.Parallel()
			r := kmsg.NewPtrSASLAuthenticateResponse()
			r.Version, r.ErrorCode, r.ErrorMessage, r.SASLAuthBytes = version, 58, new("no"), []byte("token")
			want := saslAnswer{code: 58, text: "no", token: []byte("token")}
			got, err := readAuthenticate(r.AppendTo(nil), version)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(saslAnswer{})); err != nil || diff != "" {
				t.Errorf("readAuthenticate() error = %v (-want +got):\n%s", err, diff)
			}
		})
	}
	t.Run("handshake", func(t *testing.T) {
		t.Parallel()
		r := kmsg.NewPtrSASLHandshakeResponse()
		r.Version, r.ErrorCode, r.SupportedMechanisms = 1, 33, []string{"PLAIN", "GSSAPI"}
		got, code, err := readHandshake(r.AppendTo(nil))
		if diff := cmp.Diff(r.SupportedMechanisms, got); err != nil || code != 33 || diff != "" {
			t.Errorf("readHandshake() = code %d, error %v (-want +got):\n%s", code, err, diff)
		}
	})
}

// Numbers that promise more than there is are refused at once, however large.
func TestHostileNumbers(t *testing.T) {
	t.Parallel()
	endless := binary.AppendUvarint(nil, 1<<63)
	for name, read := range map[string]func() error{
		"a list of two billion": func() error {
			_, err := readMetadata([]byte{0x7f, 0xff, 0xff, 0xff}, 1)
			return err
		},
		"a list of less than none": func() error {
			_, _, err := readVersions([]byte{0, 0, 0x80, 0, 0, 0}, 0)
			return err
		},
		"a compact list without end": func() error {
			_, _, err := readVersions(append([]byte{0, 0}, endless...), 3)
			return err
		},
		"a compact text without end": func() error {
			_, err := readAuthenticate(append([]byte{0, 0}, endless...), 2)
			return err
		},
		"a text of less than none": func() error {
			_, err := readAuthenticate([]byte{0, 0, 0x80, 0}, 0)
			return err
		},
		"tags without end": func() error {
			_, _, err := readVersions(append([]byte{0, 0, 2, 0, 3, 0, 0, 0, 13}, endless...), 3)
			return err
		},
		"a tag without end": func() error {
			_, _, err := readVersions(append([]byte{0, 0, 2, 0, 3, 0, 0, 0, 13, 1, 0}, endless...), 3)
			return err
		},
		"a number without end": func() error {
			_, err := readMetadata(append([]byte{0, 0, 0, 0}, bytes.Repeat([]byte{0xff}, 20)...), 9)
			return err
		},
		"nothing": func() error { _, err := readMetadata(nil, 8); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			if err := read(); err == nil {
				t.Error("no error")
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// FuzzAnswers: whatever a broker sends ends soon, and no list is longer than
// the bytes that it came in.
func FuzzAnswers(f *testing.F) {
	versions := kmsg.NewPtrApiVersionsResponse()
	versions.Version, versions.ApiKeys = 3, []kmsg.ApiVersionsResponseApiKey{{ApiKey: 3, MaxVersion: 13}}
	f.Add(versions.AppendTo(nil), int16(3))
	metadata := kmsg.NewPtrMetadataResponse()
	metadata.Version, metadata.Brokers = 12, []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "a.example", Port: 9092}}
	f.Add(metadata.AppendTo(nil), int16(12))
	f.Add(metadata.AppendTo(nil), int16(1))
	f.Add([]byte{0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, int16(2))
	f.Fuzz(func(t *testing.T, body []byte, version int16) {
		c, _ := readMetadata(body, version)
		known, _, _ := readVersions(body, version)
		mechanisms, _, _ := readHandshake(body)
		answer, _ := readAuthenticate(body, version)
		for _, n := range []int{len(c.brokers), len(known), len(mechanisms), len(answer.token), len(answer.text)} {
			if n > len(body) {
				t.Errorf("%d things out of %d bytes", n, len(body))
			}
		}
	})
}
