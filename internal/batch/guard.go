package batch

import (
	"time"

	"dialtone/internal/probe"
)

// suppressed is the report on a test whose login the guard forbids: nothing
// was dialled.
func suppressed(c *Claimed, at time.Time) probe.Report {
	r := probe.Refused(probe.CodeLoginSuppressed, at)
	r.Attempts, r.Waits = c.Probes, waits(c)
	r.Evidence.Facts = map[string]string{
		"rule":           string(c.Suppressed.Rule),
		"earlier_reason": string(c.Suppressed.Reason),
		"earlier_at":     c.Suppressed.At.UTC().Format(time.RFC3339),
		"retry_at":       retryAt(c.Suppressed.RetryAt),
	}
	return r
}

// retryAt is a time that does not promise too much: whole seconds, rounded up.
func retryAt(t time.Time) string {
	return t.Add(time.Second - 1).Truncate(time.Second).UTC().Format(time.RFC3339)
}

// waits tells what kept the test back.
func waits(c *Claimed) probe.Waits {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return probe.Waits{ShareMS: ms(c.ShareWait), SlotMS: ms(c.SlotWait)}
}
