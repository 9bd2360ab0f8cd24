package record

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"dialtone/internal/batch"
)

// Cursor is where a page of batches ended. Its text is opaque to callers.
type Cursor struct {
	At time.Time
	ID string
}

// String encodes the cursor for a URL.
func (c Cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.At.UnixMicro(), 10) + "." + c.ID))
}

// ParseCursor is the reverse of String, or batch.ErrBadCursor.
func ParseCursor(text string) (Cursor, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Cursor{}, batch.ErrBadCursor
	}
	at, id, _ := strings.Cut(string(raw), ".")
	micros, err := strconv.ParseInt(at, 10, 64)
	// Postgres knows no time far outside of ours.
	if err != nil || micros < 0 || micros > maxMicros || !IsUUID(id) {
		return Cursor{}, batch.ErrBadCursor
	}
	return Cursor{At: time.UnixMicro(micros).UTC(), ID: id}, nil
}

// maxMicros is the year 9999.
const maxMicros = 253402300799_000000

// IsUUID says whether a text can be the id of a batch or a test: the canonical
// form of a UUID only.
func IsUUID(id string) bool {
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
