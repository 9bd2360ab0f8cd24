package canary_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"dialtone/test/system"
)

// finish reads an answer to its end.
func finish(resp *http.Response) {
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// keyValue gives pieces of the keys in a keyset.
func keyValue(t *testing.T, keyset string) []string {
	t.Helper()
	var set struct {
		Key []struct {
			KeyData struct {
				Value string `json:"value"`
			} `json:"keyData"`
		} `json:"key"`
	}
	if err := json.Unmarshal([]byte(keyset), &set); err != nil || len(set.Key) == 0 {
		t.Fatalf("the keyset has %d keys, %v", len(set.Key), err)
	}
	var cores []string
	for _, key := range set.Key {
		raw, err := base64.StdEncoding.DecodeString(key.KeyData.Value)
		if err != nil || len(raw) < 32 {
			t.Fatalf("a key of %d bytes, %v", len(raw), err)
		}
		last := raw[len(raw)-32:] // what comes before says what kind of key it is
		text := key.KeyData.Value
		cores = append(cores, text[len(text)-40:len(text)-20], text[len(text)-22:len(text)-2], string(last[:16]), string(last[16:]))
	}
	return cores
}

// sealSecret seals an access key's secret as an operator does.
func sealSecret(t *testing.T, keysetFile, accessKey, secret string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), system.Binary("dialtone"), "keys", "seal", "--keyset-file", keysetFile, accessKey)
	cmd.Stdin = strings.NewReader(secret + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("seal a secret: ", err)
	}
	return strings.TrimSpace(string(out))
}
