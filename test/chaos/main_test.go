// Package chaos_test breaks everything that dialtone stands on while batches
// come in, by a schedule that a seed decides, and then counts: every accepted
// entry has one report, in time, that blames nobody for what was our fault, and
// no account saw two logins.
package chaos_test

import (
	"flag"
	"testing"
	"time"

	"dialtone/test/system"
)

var (
	seed     = flag.Uint64("chaos.seed", 0, "decides what breaks when; 0 draws one, which is printed")
	duration = flag.Duration("chaos.duration", 30*time.Second, "how long batches come in; every kind of fault is injected in any case")
)

func TestMain(m *testing.M) { system.Main(m) }
