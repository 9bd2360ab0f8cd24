package postgres

import (
	"strings"
	"testing"

	"dialtone/internal/probe"
)

func TestChallenge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		want       probe.Code
	}{
		{"PostgreSQL's default", "r=abc,s=c2FsdA==,i=4096", ""},
		{"the most", "r=abc,s=c2FsdA==,i=1000000", ""},
		{"one more", "r=abc,s=c2FsdA==,i=1000001", probe.CodePeerAbusive},
		{"more than the driver does", "r=abc,s=c2FsdA==,i=200000000", probe.CodePeerAbusive},
		{"more than a number holds", "r=abc,s=c2FsdA==,i=99999999999999999999", probe.CodePeerAbusive},
		{"with a sign", "r=abc,s=c2FsdA==,i=+1000001", probe.CodePeerAbusive},
		{"none", "r=abc,s=c2FsdA==,i=0", probe.CodeProtocolMismatch},
		{"negative", "r=abc,s=c2FsdA==,i=-1000001", probe.CodeProtocolMismatch},
		{"no number", "r=abc,s=c2FsdA==,i=many", probe.CodeProtocolMismatch},
		{"something behind it", "r=abc,s=c2FsdA==,i=4096,x=1", probe.CodeProtocolMismatch},
		{"another order", "r=abc,i=4096,s=c2FsdA==", probe.CodeProtocolMismatch},
		{"a decoy in front", "r=abc,i=4096,s=c2FsdA==,i=5000000", probe.CodeProtocolMismatch},
		{"no salt", "r=abc,i=4096", probe.CodeProtocolMismatch},
		{"no nonce", "s=c2FsdA==,i=4096", probe.CodeProtocolMismatch},
		{"empty", "", probe.CodeProtocolMismatch},
		{"cut within the rounds", "r=" + strings.Repeat("n", keepBody-4-len("r=,s=c2FsdA==,i=4096")) + ",s=c2FsdA==,i=4096000", probe.CodeProtocolMismatch},
		{"longer than what is looked at", "r=" + strings.Repeat("n", keepBody) + ",s=c2FsdA==,i=4096", probe.CodeProtocolMismatch},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			body := []byte(tc.text)
			if got := codeOf(challenge(body[:min(len(body), keepBody-4)])); got != tc.want {
				t.Errorf("challenge() = %q, want %q", got, tc.want)
			}
		})
	}
}

func codeOf(err error) probe.Code {
	if e, ok := err.(*probe.Error); ok { //nolint:errorlint // it is made there and not wrapped
		return e.Code
	}
	return ""
}
