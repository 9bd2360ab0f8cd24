package postgres_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
)

func BenchmarkCreate(b *testing.B) {
	s := open(b, newDatabase(b), newBox(b))
	for b.Loop() {
		create(b, s, 10)
	}
}

// guarded has claims ask for all that a worker's ask for.
func guarded(all []batch.Claim) []batch.Claim {
	for i := range all {
		all[i].Limits = batch.Limits{EndpointProbes: 2, Refusals: 3, RefusalWindow: 10 * time.Minute, RepeatAfter: 30 * time.Second}
	}
	return all
}

func BenchmarkClaim(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := open(b, newDatabase(b), newBox(b))
			for b.Loop() {
				b.StopTimer()
				_, tests := create(b, s, n)
				all := guarded(claims(tests, time.Minute))
				b.StartTimer()
				if got, err := s.Claim(b.Context(), all); err != nil || len(got) != n {
					b.Fatal(len(got), err)
				}
			}
		})
	}
}

func BenchmarkFinish(b *testing.B) {
	report := probe.Refused(probe.CodeConnectionRefused, time.Now())
	for _, n := range []int{1, 10} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := open(b, newDatabase(b), newBox(b))
			for b.Loop() {
				b.StopTimer()
				_, tests := create(b, s, n)
				all := guarded(claims(tests, time.Minute))
				if _, err := s.Claim(b.Context(), all); err != nil {
					b.Fatal(err)
				}
				var reports []batch.Finish
				for _, c := range all {
					reports = append(reports, batch.Finish{TestID: c.TestID, LeaseID: c.LeaseID, Report: report})
				}
				b.StartTimer()
				if got, err := s.Finish(b.Context(), reports); err != nil || len(got.Accepted) != n || len(got.Done) != 1 {
					b.Fatal(len(got.Accepted), len(got.Done), err)
				}
			}
		})
	}
}

// BenchmarkBatch is what a batch of 10 costs from its acceptance to its end,
// by how many are under way at once.
func BenchmarkBatch(b *testing.B) {
	report := probe.Refused(probe.CodeConnectionRefused, time.Now())
	for _, callers := range []int{1, 16} {
		b.Run(strconv.Itoa(callers), func(b *testing.B) {
			s := open(b, newDatabase(b), newBox(b))
			work := make(chan struct{})
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for range work {
						_, tests := create(b, s, 10)
						asked := guarded(claims(tests, time.Minute))
						if _, err := s.Claim(b.Context(), asked); err != nil {
							b.Error(err)
						}
						var reports []batch.Finish
						for _, c := range asked {
							reports = append(reports, batch.Finish{TestID: c.TestID, LeaseID: c.LeaseID, Report: report})
						}
						if got, err := s.Finish(b.Context(), reports); err != nil || len(got.Done) != 1 {
							b.Error(len(got.Done), err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			all.Wait()
		})
	}
}
