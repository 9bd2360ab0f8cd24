package redis

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dialtone/internal/probe"
)

func TestReply(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]value{
		"+PONG\r\n":                {kind: simpleKind, text: "PONG"},
		"-ERR no\r\n":              {kind: errorKind, text: "ERR no"},
		":-12\r\n":                 {kind: numberKind, text: "-12"},
		"$0\r\n\r\n":               {kind: bulkKind},
		"$-1\r\n":                  {kind: bulkKind},
		"$4\r\na\r\nb\r\n":         {kind: bulkKind, text: "a\r\nb"},
		"*-1\r\n":                  {kind: arrayKind},
		"*2\r\n:1\r\n*1\r\n+x\r\n": {kind: arrayKind, items: []value{{kind: numberKind, text: "1"}, {kind: arrayKind, items: []value{{kind: simpleKind, text: "x"}}}}},
	} {
		got, err := newReader(strings.NewReader(in)).reply()
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(value{})); err != nil || diff != "" {
			t.Errorf("reply of %q: %v (-want +got):\n%s", in, err, diff)
		}
	}
}

// A server can make us hold a bounded number of bytes, whatever it announces.
func TestReplyIsBounded(t *testing.T) { //nolint:paralleltest // it measures what is allocated
	for name, in := range map[string]string{
		"values without end": "*131071\r\n" + strings.Repeat("*1\r\n:1\r\n", 200_000),
		"arrays in arrays":   strings.Repeat("*131072\r\n", 1000),
		"a bulk":             "$262145\r\n",
		"a line":             "+" + strings.Repeat("x", 1<<20),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := newReader(strings.NewReader(in)).reply()
		runtime.ReadMemStats(&after)
		known, ok := errors.AsType[*probe.Error](err)
		if !ok || known.Code != probe.CodeProtocolMismatch && known.Code != probe.CodePeerAbusive {
			t.Errorf("%s: error %v", name, err)
		}
		const most = 32 << 20
		if used := after.TotalAlloc - before.TotalAlloc; used > most {
			t.Errorf("%s: %d bytes were allocated, want at most %d", name, used, most)
		}
	}
}

// Whatever comes, a reply is read or refused, and what CLUSTER SLOTS is made of
// is a cluster or none.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"+PONG\r\n", "-NOAUTH Authentication required.\r\n", "$4\r\nrole\r\n", "*-1\r\n", "$-1\r\n",
		"*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n$9\r\n127.0.0.1\r\n:6379\r\n$2\r\nid\r\n*0\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := newReader(strings.NewReader(string(in))).reply()
		if err != nil {
			return
		}
		if again, err := newReader(strings.NewReader(string(encode(nil, v)))).reply(); err != nil || !cmp.Equal(v, again, cmp.AllowUnexported(value{})) {
			t.Errorf("%+v is read again as %+v, %v", v, again, err)
		}
		m, err := parseSlots(v)
		if err == nil && (m.served < 0 || m.served > slots || m.served > 0 && len(m.nodes) == 0) {
			t.Errorf("%d slots are served by %d nodes", m.served, len(m.nodes))
		}
	})
}

// encode is the wire form of a reply.
func encode(to []byte, v value) []byte {
	to = append(to, v.kind)
	switch v.kind {
	case bulkKind:
		words := appendCommand(nil, v.text)
		return append(to, words[len("*1\r\n$"):]...)
	case arrayKind:
		head := appendCommand(nil, make([]string, len(v.items))...)
		to = append(to, head[1:strings.Index(string(head), "\n")+1]...)
		for _, item := range v.items {
			to = encode(to, item)
		}
		return to
	default:
		return append(append(to, v.text...), "\r\n"...)
	}
}
