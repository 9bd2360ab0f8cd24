package batch

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// counted is a store that counts how often it is asked for networks.
type counted struct {
	asked    int
	networks []string
	fail     error
}

func (c *counted) Networks(context.Context, time.Duration) ([]string, error) {
	c.asked++
	return c.networks, c.fail
}

func TestAnnouncedNetworksAreKeptForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &counted{}
		a := announced{store: store, age: time.Minute, keep: time.Second}
		expect := func(asked int, want ...string) {
			t.Helper()
			got, err := a.list(t.Context())
			if err != nil || !slices.Equal(got, want) || store.asked != asked {
				t.Errorf("list() = %v, %v after %d questions, want %v after %d", got, err, store.asked, want, asked)
			}
		}
		expect(1)
		expect(2) // that there is none is not kept
		store.networks = []string{"eip"}
		expect(3, "eip")
		store.networks = []string{"eip", "vpc-1"}
		expect(3, "eip")
		time.Sleep(time.Second)
		expect(4, "eip", "vpc-1")

		time.Sleep(time.Second)
		store.fail = errors.New("away")
		if _, err := a.list(t.Context()); !errors.Is(err, store.fail) {
			t.Errorf("list() = %v, want the store's error", err)
		}
		store.fail = nil
		expect(6, "eip", "vpc-1")
	})
}
