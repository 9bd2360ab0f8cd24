package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Bytes is a number of bytes. As text it may end in KiB, MiB or GiB.
type Bytes int64

var errNotBytes = errors.New("not a number of bytes")

// UnmarshalText reads "65536" or "16MiB".
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	shift := 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if number, found := strings.CutSuffix(s, unit); found {
			s, shift = strings.TrimSpace(number), 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return errNotBytes
	}
	*b = Bytes(n << shift)
	return nil
}
