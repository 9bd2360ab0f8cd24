// Package sdk_test lets the official Go SDK call the binaries: what it signs
// must be accepted, what it sends understood, and what it is answered must fit
// its models.
package sdk_test

import (
	"testing"

	"dialtone/test/system"
)

func TestMain(m *testing.M) { system.Main(m) }
