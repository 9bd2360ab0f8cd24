package postgres

import (
	"bytes"
	"errors"
	"strconv"

	"dialtone/internal/probe"
)

// maxRounds bounds the key derivation that a server may ask for. PostgreSQL's
// own default is 4096; the driver would do ten million, which takes seconds
// that no deadline cuts short.
const maxRounds = 1_000_000

// longestChallenge is the longest that is looked at whole, behind four bytes
// that say what it is. Real ones have about 90.
const longestChallenge = keepBody - 4 - 1

// challenge judges the server's first SCRAM message before the driver works on
// it: nonce, salt and rounds, in this order and nothing else. What cannot be
// read to its end is refused, so that the rounds cannot be hidden.
func challenge(body []byte) error {
	malformed := probe.Fail(probe.CodeProtocolMismatch, errors.New("the SCRAM challenge is not right"))
	parts := bytes.Split(body, []byte{','})
	if len(body) > longestChallenge || len(parts) != 3 {
		return malformed
	}
	for i, name := range []string{"r=", "s=", "i="} {
		if !bytes.HasPrefix(parts[i], []byte(name)) {
			return malformed
		}
	}
	rounds, err := strconv.Atoi(string(parts[2][2:]))
	switch {
	case rounds > maxRounds: // also when there are more than a number holds
		return probe.Fail(probe.CodePeerAbusive, errors.New("the server asks for excessive key derivation"))
	case err != nil || rounds <= 0:
		return malformed
	default:
		return nil
	}
}
