// Package secret holds what must not be seen: Text, a string that never
// prints, and Box, which seals bytes before they are stored. It knows nothing
// of databases, batches or requests.
package secret

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"dialtone/internal/sabotage"
)

// redacted is what every way of printing a Text yields.
const redacted = "[redacted]"

// Text is a string that prints as "[redacted]" through every formatter,
// marshaller and logger. Only Reveal gives the value back. The zero Text is an
// absent secret and prints as nothing.
type Text struct {
	// A pointer hides the value from code that walks structs by reflection
	// and prints what it finds, such as a panic's argument dump or %#v.
	value *string
}

// New wraps s. An empty s gives the zero Text.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{value: &s}
}

// Reveal returns the secret. Call it only on the line that hands the value to
// the driver or cipher that needs it.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// IsSet says whether there is a secret at all.
func (t Text) IsSet() bool { return t.value != nil }

// Equal compares two secrets by value; for tests and for finding identical
// endpoints. It does not run in constant time.
func (t Text) Equal(u Text) bool { return t.Reveal() == u.Reveal() }

// String returns "[redacted]", or "" for an absent secret.
func (t Text) String() string {
	if t.value == nil {
		return ""
	}
	return sabotage.Swap(sabotage.PrintSecrets, redacted, *t.value)
}

// GoString redacts %#v.
func (t Text) GoString() string { return fmt.Sprintf("secret.Text(%s)", t.String()) }

// Format redacts every verb, %x and %q among them.
func (t Text) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, t.String()) }

// LogValue redacts structured logs.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText redacts text encodings.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON redacts JSON. What must be stored is sealed, not marshalled.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalText takes a secret from a text encoding such as a flag.
func (t *Text) UnmarshalText(b []byte) error {
	*t = New(string(b))
	return nil
}
