package queue_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

// listen starts a listener and waits until it hears.
func listen(t *testing.T, r, sender *queue.Redis, replyTo string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan string, 100), make(chan error, 1)
	go func() { ended <- r.Listen(ctx, replyTo, func(id string) { heard <- id }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Listen: %v", err)
		}
	})
	expect(t, sender, replyTo, heard)
	return heard
}

// expect signals until the listener hears: it subscribes when it can.
func expect(t *testing.T, sender *queue.Redis, replyTo string, heard <-chan string) {
	t.Helper()
	id := fmt.Sprintf("batch-%d", time.Now().UnixNano())
	eventually(t, "the listener hears", func() bool {
		if err := producer(sender).Signal(t.Context(), []batch.Completion{{BatchID: id, ReplyTo: replyTo}}); err != nil {
			t.Fatal(err)
		}
		for {
			select {
			case got := <-heard:
				if got == id {
					return true
				}
			case <-time.After(20 * time.Millisecond):
				return false
			}
		}
	})
}

func TestSignal(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			mine, other := network(), network()
			heard := listen(t, r, r, mine)
			done := []batch.Completion{{BatchID: "nobody waits"}, {BatchID: "other", ReplyTo: other}, {BatchID: "a", ReplyTo: mine}, {BatchID: "b", ReplyTo: mine}}
			if err := producer(r).Signal(t.Context(), done); err != nil {
				t.Fatal(err)
			}
			var got []string
			for len(got) < 2 {
				if id := <-heard; !strings.HasPrefix(id, "batch-") {
					got = append(got, id)
				}
			}
			slices.Sort(got) // nodes of a cluster do not wait for each other
			if got[0] != "a" || got[1] != "b" {
				t.Errorf("heard %v, want a and b", got)
			}
		})
	}
}

func TestSignalForNobodyIsNoRoundTrip(t *testing.T) {
	t.Parallel()
	r := inProcess(t)
	var sent trips
	r.Client().AddHook(&sent)
	if err := producer(r).Signal(t.Context(), []batch.Completion{{BatchID: "a"}}); err != nil || sent.n.Load() != 0 {
		t.Errorf("Signal = %v with %d round trips", err, sent.n.Load())
	}
}

func TestListenReconnects(t *testing.T) {
	t.Parallel()
	sender := realRedis(t)
	replyTo := network()
	r := connect(t, queue.Config{URL: secret.New("redis://" + need(t, "DIALTONE_TEST_REDIS_ADDR")), ClientName: replyTo})
	heard := listen(t, r, sender, replyTo)
	for range 2 {
		killClients(t, sender, replyTo)
		expect(t, sender, replyTo, heard)
	}
}

// killClients cuts the connections of that name.
func killClients(t *testing.T, r *queue.Redis, name string) {
	t.Helper()
	list, err := r.Client().ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for line := range strings.Lines(list) {
		if !strings.Contains(line, " name="+name+" ") {
			continue
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
		if err := r.Client().ClientKillByFilter(t.Context(), "ID", id).Err(); err != nil {
			t.Fatal(err)
		}
		killed++
	}
	if killed == 0 {
		t.Fatalf("no connection is named %s:\n%s", name, list)
	}
}

// What was ended is told to every worker.
func TestSignalEnded(t *testing.T) {
	t.Parallel()
	for name, start := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			ctx, cancel := context.WithCancel(t.Context())
			looked, ended := make(chan int, 1000), make(chan error, 2)
			for worker := range 2 {
				go func() { ended <- r.ListenEnded(ctx, func(context.Context) { looked <- worker }) }()
			}
			heard := map[int]bool{}
			eventually(t, "both look", func() bool {
				if err := producer(r).SignalEnded(t.Context()); err != nil {
					t.Fatal(err)
				}
				select {
				case worker := <-looked:
					heard[worker] = true
				case <-time.After(20 * time.Millisecond):
				}
				return len(heard) == 2
			})
			cancel()
			for range 2 {
				if err := <-ended; err != nil {
					t.Errorf("ListenEnded: %v", err)
				}
			}
		})
	}
}
