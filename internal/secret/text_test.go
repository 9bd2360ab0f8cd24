package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"dialtone/internal/secret"
)

// TestTextNeverPrints: whatever is made of a Text, and of what holds one, the
// value is not in it, nor its length.
func TestTextNeverPrints(t *testing.T) {
	t.Parallel()
	const value = "hunter22"
	text := secret.New(value)
	inside := struct {
		Password secret.Text
		Pointer  *secret.Text
		List     []secret.Text
		Map      map[string]secret.Text
		hidden   secret.Text
	}{text, &text, []secret.Text{text}, map[string]secret.Text{"k": text}, text}

	printed := map[string]string{"String": text.String(), "GoString": text.GoString(), "error": fmt.Errorf("login with %v: %w", text, errors.ErrUnsupported).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%100s", "%.2s"} {
		printed[verb] = fmt.Sprintf(verb, text)
		printed[verb+" of what holds it"] = fmt.Sprintf(verb, inside)
	}
	for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "xml": xml.Marshal} {
		b, err := marshal(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		printed[name] = string(b)
	}
	b, err := json.Marshal(inside)
	if err != nil {
		t.Error(err)
	}
	printed["json of what holds it"] = string(b)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var log bytes.Buffer
		slog.New(handler(&log)).InfoContext(t.Context(), "login", "password", text, "all", inside, slog.Group("g", slog.Any("p", &text)))
		printed[name] = log.String()
	}
	for how, got := range printed {
		for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), value[:4]} {
			if strings.Contains(got, form) {
				t.Errorf("%s prints %s", how, got)
			}
		}
		if how != "%T" && !strings.Contains(how, "of what holds it") && !strings.Contains(got, "[redacted]") {
			t.Errorf("%s says %q, and not that something is there", how, got)
		}
	}
}

func TestTextOfNothing(t *testing.T) {
	t.Parallel()
	var none secret.Text
	if secret.New("") != none || none.IsSet() || none.Reveal() != "" || none.String() != "" || fmt.Sprintf("%v", none) != "" {
		t.Errorf("the absent secret is %v, set %v", none, none.IsSet())
	}
	if b, err := json.Marshal(none); err != nil || string(b) != `""` {
		t.Errorf("Marshal() = %s, %v", b, err)
	}
}

func TestTextGivesItsValueBack(t *testing.T) {
	t.Parallel()
	var read secret.Text
	if err := read.UnmarshalText([]byte("hunter22")); err != nil {
		t.Fatal(err)
	}
	if read.Reveal() != "hunter22" || !read.IsSet() || !read.Equal(secret.New("hunter22")) || read.Equal(secret.New("hunter2")) {
		t.Errorf("Reveal() = %q of %d bytes", read, len(read.Reveal()))
	}
	var decoded secret.Text
	if err := json.Unmarshal([]byte(`"hunter22"`), &decoded); err != nil || !decoded.Equal(read) {
		t.Errorf("Unmarshal() = %v, equal %v", err, decoded.Equal(read))
	}
}
