package sm3_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"dialtone/internal/probe/gaussdb/sm3"
)

// The two examples of the standard (annex A), and lengths around the edges of
// a block, which OpenSSL computed.
func TestSum(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ data, want string }{
		{"abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"},
		{strings.Repeat("abcd", 16), "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"},
		{strings.Repeat("x", 0), "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"},
		{strings.Repeat("x", 55), "ff8f8d58b95a1f90e39d96f739fa873eee33c0a80e59c7bbbf184eb7d9b1f112"},
		{strings.Repeat("x", 56), "c4c1c6206d36c325e66ae5432948b26f04acff8dfc0ea2606a79d59b83a16d61"},
		{strings.Repeat("x", 63), "b3ada6bc4838430afe100fb8b39ea65e13a556fb9a5f3699a7c541f8e3a07a93"},
		{strings.Repeat("x", 65), "063cfef4083326d61866e4bc3283fca4823f4f771d82a95b76a668454bfb0d24"},
		{strings.Repeat("x", 119), "ebeb591c289fe14873d297f6d2fc8c70e6ed03a2ff6e2240600eede2e8197bbf"},
		{strings.Repeat("x", 120), "f86deedb441db075511ff2ae5ace229719f7d0e754af15391be725e4e553cc4a"},
		{strings.Repeat("x", 200), "94dba2257453b48f0c34c5236b0479099591e281ca0494eb293e1cfc1dddab82"},
	} {
		if got := sm3.Sum([]byte(tc.data)); hex.EncodeToString(got[:]) != tc.want {
			t.Errorf("Sum(%d bytes) = %x, want %s", len(tc.data), got, tc.want)
		}
	}
}
