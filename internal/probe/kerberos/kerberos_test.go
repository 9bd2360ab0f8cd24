package kerberos_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"dialtone/internal/probe/kerberos"
	"dialtone/internal/secret"
)

// A real KDC is asked in the tests of the engines that log in with a ticket.

func user() kerberos.Identity {
	return kerberos.Identity{User: "alice", Realm: "TEST.LOCAL", Password: secret.New("pencil")}
}

// refusal is an error message of a KDC's.
func refusal(tb testing.TB, code int32, hints types.ETypeInfo2) []byte {
	tb.Helper()
	e := messages.NewKRBError(types.NewPrincipalName(2, "krbtgt/TEST.LOCAL"), "TEST.LOCAL", code, "text of the KDC")
	if hints != nil {
		info, err := asn1.Marshal(hints)
		if err != nil {
			tb.Fatal(err)
		}
		if e.EData, err = asn1.Marshal(types.PADataSequence{{PADataType: patype.PA_ETYPE_INFO2, PADataValue: info}}); err != nil {
			tb.Fatal(err)
		}
	}
	message, err := e.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return message
}

// hint is how a KDC says how passwords become keys.
func hint(etype int32, params ...byte) types.ETypeInfo2 {
	return types.ETypeInfo2{{EType: etype, Salt: "salt", S2KParams: params}}
}

// script is a KDC that gives these answers, in this order.
func script(answers ...[]byte) kerberos.Send {
	return func([]byte) ([]byte, error) {
		if len(answers) == 0 {
			return nil, io.EOF
		}
		answer := answers[0]
		answers = answers[1:]
		return answer, nil
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const aes = etypeID.AES256_CTS_HMAC_SHA1_96
	errStop := errors.New("no login now")
	demand := refusal(t, errorcode.KDC_ERR_PREAUTH_REQUIRED, hint(aes, 0, 0, 0x10, 0))
	for _, tc := range []struct {
		name    string
		answers [][]byte
		permit  error
		asked   int
		code    int32 // of the KDC's refusal
		err     error // or another
	}{
		{"unknown user", [][]byte{refusal(t, kerberos.UnknownUser, nil)}, nil, 0, kerberos.UnknownUser, nil},
		{"wrong password", [][]byte{demand, refusal(t, kerberos.WrongPassword, nil)}, nil, 1, kerberos.WrongPassword, nil},
		{"wrong password, as Heimdal says it", [][]byte{demand, refusal(t, errorcode.KRB_AP_ERR_BAD_INTEGRITY, nil)}, nil, 1, kerberos.WrongPassword, nil},
		{"not permitted", [][]byte{demand}, errStop, 1, 0, errStop},
		{"lost", [][]byte{demand}, nil, 1, 0, io.EOF},
		{"two demands", [][]byte{demand, demand}, nil, 1, 0, kerberos.ErrMalformed},
		{"a demand without hints", [][]byte{refusal(t, errorcode.KDC_ERR_PREAUTH_REQUIRED, nil)}, nil, 0, 0, kerberos.ErrMalformed},
		{"an empty list of hints", [][]byte{refusal(t, errorcode.KDC_ERR_PREAUTH_REQUIRED, types.ETypeInfo2{})}, nil, 0, kerberos.NoCommonEncryption, nil},
		{"a cipher that is broken", [][]byte{refusal(t, errorcode.KDC_ERR_PREAUTH_REQUIRED, hint(etypeID.RC4_HMAC))}, nil, 0, kerberos.NoCommonEncryption, nil},
		{"one iteration too many", [][]byte{refusal(t, errorcode.KDC_ERR_PREAUTH_REQUIRED, hint(aes, 0, 0x0f, 0x42, 0x41))}, nil, 0, 0, kerberos.ErrIterations},
		{"four billion iterations", [][]byte{refusal(t, errorcode.KDC_ERR_PREAUTH_REQUIRED, hint(aes, 0, 0, 0, 0))}, nil, 0, 0, kerberos.ErrIterations},
		{"iterations in three bytes", [][]byte{refusal(t, errorcode.KDC_ERR_PREAUTH_REQUIRED, hint(aes, 0, 0x10, 0))}, nil, 0, 0, kerberos.ErrIterations},
		{"HTTP", [][]byte{[]byte("HTTP/1.1 400 Bad Request\r\n\r\n")}, nil, 0, 0, kerberos.ErrMalformed},
		{"nothing", [][]byte{{}}, nil, 0, 0, kerberos.ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			asked, start := 0, time.Now()
			_, err := kerberos.Login(user(), "kafka/broker", script(tc.answers...), func() error { asked++; return tc.permit })
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("Login took %s", took)
			}
			if asked != tc.asked {
				t.Errorf("permission was asked for %d times, want %d", asked, tc.asked)
			}
			refused, _ := errors.AsType[*kerberos.RefusedError](err)
			switch {
			case tc.err != nil && !errors.Is(err, tc.err):
				t.Errorf("Login() error = %v, want %v", err, tc.err)
			case tc.err == nil && (refused == nil || refused.Code != tc.code):
				t.Errorf("Login() error = %v, want a refusal with %d", err, tc.code)
			case err != nil && (strings.Contains(err.Error(), "pencil") || strings.Contains(err.Error(), "text of the KDC")):
				t.Errorf("the error %q holds what it must not", err)
			}
		})
	}
}

// Permission is asked for before the proof leaves.
func TestPermissionComesFirst(t *testing.T) {
	t.Parallel()
	demand := refusal(t, errorcode.KDC_ERR_PREAUTH_REQUIRED, hint(etypeID.AES128_CTS_HMAC_SHA1_96))
	permitted, sent := false, 0
	_, _ = kerberos.Login(user(), "kafka/broker", func(message []byte) ([]byte, error) {
		var ask messages.ASReq
		if err := ask.Unmarshal(message); err != nil {
			t.Error(err)
		}
		if proof := ask.PAData.Contains(patype.PA_ENC_TIMESTAMP); proof != permitted {
			t.Errorf("message %d holds a proof: %v, permitted: %v", sent, proof, permitted)
		}
		sent++
		return demand, nil
	}, func() error { permitted = true; return nil })
	if sent != 2 {
		t.Errorf("%d messages were sent, want 2", sent)
	}
}

func TestNoKeyNoMessage(t *testing.T) {
	t.Parallel()
	empty, err := kerberos.ParseKeytab([]byte{5, 2, 0, 0, 0, 0})
	if err != nil {
		t.Fatal(err)
	}
	id := kerberos.Identity{User: "alice", Realm: "TEST.LOCAL", Keytab: empty}
	_, err = kerberos.Login(id, "kafka/broker", func([]byte) ([]byte, error) {
		t.Error("a message was sent")
		return nil, io.EOF
	}, func() error { return nil })
	if !errors.Is(err, kerberos.ErrNoKey) {
		t.Errorf("Login() error = %v, want %v", err, kerberos.ErrNoKey)
	}
}

// conn is a connection on which the other side has said its part already.
type conn struct {
	io.Reader
	io.Writer
}

func TestExchange(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer string
		want   string
		err    error
	}{
		"answer":    {"\x00\x00\x00\x03abc", "abc", nil},
		"cut short": {"\x00\x00\x00\x03a", "", io.ErrUnexpectedEOF},
		"hung up":   {"", "", io.EOF},
		"empty":     {"\x00\x00\x00\x00", "", kerberos.ErrMalformed},
		"two GB":    {"\x7f\xff\xff\xffabc", "", kerberos.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent bytes.Buffer
			got, err := kerberos.Exchange(conn{strings.NewReader(tc.answer), &sent}, []byte("ask"))
			if !errors.Is(err, tc.err) || err == nil && string(got) != tc.want {
				t.Errorf("Exchange() = %q, %v; want %q, %v", got, err, tc.want, tc.err)
			}
			if want := string(binary.BigEndian.AppendUint32(nil, 3)) + "ask"; sent.String() != want {
				t.Errorf("sent %q, want %q", sent.String(), want)
			}
		})
	}
}

// FuzzLogin: whatever a KDC answers, the login ends, and without a ticket.
func FuzzLogin(f *testing.F) {
	f.Add(refusal(f, kerberos.UnknownUser, nil), []byte{})
	f.Add(refusal(f, errorcode.KDC_ERR_PREAUTH_REQUIRED, hint(etypeID.AES256_CTS_HMAC_SHA1_96)), refusal(f, kerberos.AccountLocked, nil))
	f.Add(refusal(f, errorcode.KDC_ERR_PREAUTH_REQUIRED, hint(etypeID.AES256_CTS_HMAC_SHA1_96, 0, 0, 0, 1)), []byte("\x6b\x82\x01\x00"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		if _, err := kerberos.Login(user(), "kafka/broker", script(first, second, second), func() error { return nil }); err == nil {
			t.Error("a ticket out of nothing")
		}
	})
}

func FuzzKeytab(f *testing.F) {
	f.Add([]byte{5, 2, 0, 0, 0, 0})
	if file := os.Getenv("DIALTONE_TEST_KERBEROS_KEYTAB"); file != "" {
		if content, err := os.ReadFile(file); err == nil {
			f.Add(content)
		}
	}
	f.Fuzz(func(_ *testing.T, content []byte) { _, _ = kerberos.ParseKeytab(content) })
}
