//go:build !sabotage

package sabotage

// Built says whether this build has switches.
const Built = false

// On says whether the switch is on.
func On(Switch) bool { return false }

// Swap gives good, or bad while the switch is on.
func Swap[T any](_ Switch, good, _ T) T { return good }

// Edit gives a text, such as a statement, in which, while the switch is on,
// another stands instead of each old.
func Edit(_ Switch, text, _, _ string) string { return text }
