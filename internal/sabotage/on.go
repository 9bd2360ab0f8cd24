//go:build sabotage

package sabotage

import (
	_ "embed"
	"fmt"
	"os"
	"strings"
	"sync"
)

// Built says whether this build has switches.
const Built = true

// Variable names the switch that is on.
const Variable = "DIALTONE_SABOTAGE"

//go:embed sabotage.go
var switches string

// active is the switch that is on. A name that is no switch would let every
// test pass, and so stops the process.
var active = sync.OnceValue(func() Switch { //nolint:gochecknoglobals // of the whole process, as its environment is
	name := os.Getenv(Variable) //nolint:forbidigo // this build is no product: it has no configuration
	if name != "" && !strings.Contains(switches, fmt.Sprintf("Switch = %q\n", name)) {
		panic(fmt.Sprintf("%s: there is no switch %q", Variable, name))
	}
	return Switch(name)
})

// struck tells once that the code under the switch was reached: a test that
// passes all the same has seen it and does not mind.
var struck = sync.OnceFunc(func() { fmt.Fprintf(os.Stderr, "sabotage: %s\n", active()) }) //nolint:gochecknoglobals // as above

// On says whether the switch is on.
func On(s Switch) bool {
	if s != active() {
		return false
	}
	struck()
	return true
}

// Swap gives good, or bad while the switch is on.
func Swap[T any](s Switch, good, bad T) T {
	if On(s) {
		return bad
	}
	return good
}

// Edit gives a text, such as a statement, in which, while the switch is on,
// another stands instead of each old. A text without old is a mistake in the switch.
func Edit(s Switch, text, old, instead string) string {
	if !On(s) {
		return text
	}
	if !strings.Contains(text, old) {
		panic(fmt.Sprintf("sabotage: %s: %q is not in the text", s, old))
	}
	return strings.ReplaceAll(text, old, instead)
}
