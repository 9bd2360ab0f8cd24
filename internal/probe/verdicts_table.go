package probe

// verdicts is the table of all codes.
func verdicts() map[Code]Verdict { return table }

//nolint:gochecknoglobals // a constant table
var table = map[Code]Verdict{}
