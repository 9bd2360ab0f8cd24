// Package canary_test runs everything with a marker in each place where a
// secret can stand, and then looks for the markers wherever something is
// written or shown. None may be found, in whatever form.
package canary_test

import (
	"flag"
	"testing"

	"dialtone/test/system"
)

// long crosses every failure with every engine and every form.
var long = flag.Bool("canary.long", false, "every failure and every form of an echo with every engine, three times over")

func TestMain(m *testing.M) { system.Main(m) }
