package batch

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// group makes one call of many: while a call is under way, further requests
// gather, and the next call takes them all. A request that finds nothing under
// way goes at once, so nobody waits for company.
type group[In, Out any] struct {
	// call does the work for all of in and gives one Out for each.
	call    func(ctx context.Context, in []In) ([]Out, error)
	most    int           // the most requests in one call
	flights int           // the most calls under way at once
	timeout time.Duration // of one call

	mu      sync.Mutex
	under   int
	pending []*request[In, Out]
}

type request[In, Out any] struct {
	in   In
	done chan result[Out]
}

type result[Out any] struct {
	out Out
	err error
}

// do waits for the outcome of in, which is bounded by the timeout of at most
// two calls. ctx gives values only: a request cannot be taken out of a call
// that others share.
func (g *group[In, Out]) do(ctx context.Context, in In) (Out, error) {
	r := &request[In, Out]{in: in, done: make(chan result[Out], 1)}
	g.mu.Lock()
	g.pending = append(g.pending, r)
	lead := g.under < g.flights
	if lead {
		g.under++
	}
	g.mu.Unlock()
	if lead {
		runtime.Gosched() // let those that were woken together gather
		if g.fly(ctx) {
			// What gathered meanwhile is not for this caller to wait for. The
			// goroutine ends with the last request, and each has its waiter.
			go g.drain(ctx)
		}
	}
	res := <-r.done
	return res.out, res.err
}

// drain flies until nothing is pending.
func (g *group[In, Out]) drain(ctx context.Context) {
	for g.fly(ctx) {
	}
}

// fly makes one call for the oldest requests. It says whether more are
// pending, and then the flight goes on; else the flight is over.
func (g *group[In, Out]) fly(ctx context.Context) bool {
	g.mu.Lock()
	n := min(len(g.pending), g.most)
	taken := g.pending[:n:n]
	g.pending = g.pending[n:]
	g.mu.Unlock()

	if n > 0 {
		g.serve(ctx, taken)
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pending) > 0 {
		return true
	}
	g.under--
	return false
}

func (g *group[In, Out]) serve(ctx context.Context, taken []*request[In, Out]) {
	in := make([]In, len(taken))
	for i, r := range taken {
		in[i] = r.in
	}
	// Others share this call: the leader's cancellation must not end it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.timeout)
	defer cancel()
	out, err := g.call(ctx, in)
	for i, r := range taken {
		res := result[Out]{err: err}
		if err == nil {
			res.out = out[i]
		}
		r.done <- res
	}
}
