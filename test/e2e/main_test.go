// Package e2e_test runs the binaries, as an operator would, against real
// servers: Postgres, Redis, and the databases that are tested.
package e2e_test

import (
	"testing"

	"dialtone/test/system"
)

func TestMain(m *testing.M) { system.Main(m) }
