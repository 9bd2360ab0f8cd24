package sqlite

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"dialtone/internal/batch"
)

// cursor is where a page of batches ended. Its text is opaque to callers.
type cursor struct {
	at time.Time
	id string
}

// String encodes the cursor for a URL.
func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.at.UnixMicro(), 10) + "." + c.id))
}

// parseCursor is the reverse of String, or batch.ErrBadCursor.
func parseCursor(text string) (cursor, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return cursor{}, batch.ErrBadCursor
	}
	at, id, _ := strings.Cut(string(raw), ".")
	micros, err := strconv.ParseInt(at, 10, 64)
	// Times far outside of ours are no cursor of ours.
	if err != nil || micros < 0 || micros > maxMicros || !isUUID(id) {
		return cursor{}, batch.ErrBadCursor
	}
	return cursor{at: time.UnixMicro(micros).UTC(), id: id}, nil
}

// maxMicros is the year 9999.
const maxMicros = 253402300799_000000

// isUUID accepts the canonical form only.
func isUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}
