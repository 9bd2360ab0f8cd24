// Command testreport turns the event stream of "go test -json" back into the
// lines a reader expects, one per package and all of what a failing test said,
// and adds how many tests ran. It ends with 1 if a test failed or was skipped:
// a skip is how a suite comes to pass without testing anything.
package main

import (
	"fmt"
	"os"
)

func main() {
	sum, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	fmt.Println(sum)
	if !sum.ok() {
		os.Exit(1)
	}
}
