package gaussdb_test

import (
	"testing"

	"dialtone/internal/probe/gaussdb"
	"dialtone/internal/probe/gaussdb/gaussdbtest"
	"dialtone/internal/probe/probetest"
)

// The cost of a test, of which the key derivation is nearly all.
func BenchmarkGaussDB(b *testing.B) {
	for name, method := range map[string]gaussdbtest.Method{"sha256": gaussdbtest.SHA256, "md5": gaussdbtest.MD5} {
		b.Run(name, func(b *testing.B) {
			server := working()
			server.Iterations, server.Method = 0, method
			goal := target(probetest.Serve(b, serve(server)))
			runner := probetest.Runner(b, gaussdb.New(gaussdb.Config{}), serverTimeout)
			b.ReportAllocs()
			for b.Loop() {
				if r, err := runner.Run(b.Context(), goal); err != nil || !r.OK() {
					b.Fatal(r.Code, err)
				}
			}
		})
	}
}
