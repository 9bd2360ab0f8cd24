package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/batch"

	"github.com/redis/go-redis/v9"
)

// fetcher is the Redis that one asynq server sees. asynq asks each queue in
// turn for one task, and sleeps when all are empty. The fetcher answers these
// questions from a buffer that it fills with several tasks per round trip, and
// when there are none it does not answer at once: it waits until a producer
// publishes a wake-up. Everything else passes through.
//
// It runs asynq's own script, which it gets to know by being asked to run it;
// what such a question looks like is all it must recognise. When it does not,
// everything passes through and asynq polls as asynq does.
type fetcher struct {
	redis.UniversalClient
	waker  *waker
	queues []*source
	// slots is how many tasks the server runs at once, bulkSlots how many of
	// them may be bulk, most how many are fetched in one round trip.
	slots, bulkSlots, most int
	maxWait                time.Duration

	recognised atomic.Bool
	// out counts the tasks given to asynq whose handler has not returned,
	// bulkOut those of them, and of the buffer, that are bulk.
	out, bulkOut atomic.Int64
	// bulkFull says that bulk queues were left out of the last question.
	bulkFull atomic.Bool
	// wake has room for one: a wake-up while nobody waits is not lost.
	wake chan struct{}
	// asking is taken while Redis is asked for tasks.
	asking chan struct{}

	// The next three belong to asynq's one fetching goroutine.
	sha, script string
	// skip is how many more queues of a round must be told that they are empty.
	skip int

	mu       sync.Mutex
	buffer   []fetched
	closed   bool
	closing  chan struct{}
	forwards map[string]int64 // by key, the second in which nothing was due
	counts   fetchCounts
}

// source is one queue and what is remembered about it.
type source struct {
	name   string
	weight int
	bulk   bool
	// want is how many tasks to ask for next: more after each full answer.
	want int
}

// fetched is a task in asynq's encoding.
type fetched struct {
	queue, message string
}

// fetchCounts is what the fetcher did; see Stats.
type fetchCounts struct {
	roundTrips, tasks, failed atomic.Uint64
}

// firstWant is how many tasks a queue is asked for that was empty before. The
// first of several idle workers to be woken should not take a whole batch.
const firstWant = 4

// fetchPause is the pause after Redis failed to answer: asynq itself makes none.
const fetchPause = 250 * time.Millisecond

func newFetcher(client redis.UniversalClient, w *waker, weights map[string]int, slots, most int, maxWait time.Duration) *fetcher {
	f := &fetcher{
		UniversalClient: client, waker: w, slots: slots, bulkSlots: bulkSlots(slots), most: most, maxWait: maxWait,
		wake: make(chan struct{}, 1), asking: make(chan struct{}, 1), closing: make(chan struct{}), forwards: map[string]int64{},
	}
	for name, weight := range weights {
		f.queues = append(f.queues, &source{name: name, weight: weight, bulk: isBulk(name), want: min(firstWant, most)})
	}
	return f
}

// bulkSlots is how many of a server's slots bulk tasks may have. A probe cannot
// be put aside once it is begun, so somebody who waits needs a slot that no bulk
// task can be in.
func bulkSlots(slots int) int { return max(1, slots-(slots+3)/4) }

// isBulk says whether a queue is one of the lane bulk.
func isBulk(queue string) bool {
	lane, _, ok := parseName(queue)
	return ok && lane == batch.Bulk
}

// done takes note of a task whose handler has returned.
func (f *fetcher) done(queue string) {
	f.out.Add(-1)
	if !isBulk(queue) {
		return
	}
	f.bulkOut.Add(-1)
	if f.bulkFull.Swap(false) {
		f.awake() // there is room again for those that were left out
	}
}

// EvalSha sees asynq's scripts.
func (f *fetcher) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if lease, ok := f.dequeues(keys, args); ok {
		f.sha = sha
		return f.dequeue(ctx, lease)
	}
	run := func() *redis.Cmd { return f.UniversalClient.EvalSha(ctx, sha, keys, args...) }
	if now, ok := f.isForward(keys, args); ok {
		return f.forward(ctx, keys[0], now, run)
	}
	return run()
}

// Eval sees them when Redis has not got them yet.
func (f *fetcher) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	if lease, ok := f.dequeues(keys, args); ok && f.sha != "" {
		f.script = script
		return f.dequeue(ctx, lease)
	}
	run := func() *redis.Cmd { return f.UniversalClient.Eval(ctx, script, keys, args...) }
	if now, ok := f.isForward(keys, args); ok {
		return f.forward(ctx, keys[0], now, run)
	}
	return run()
}

// dequeueCall is what asynq's question for a task of one queue looks like.
func dequeueCall(queue string) (keys []string, prefix string) {
	return []string{
		asynqKey(queue, "pending"), asynqKey(queue, "paused"),
		asynqKey(queue, "active"), asynqKey(queue, "lease"),
	}, asynqKey(queue, "t:")
}

// dequeues says whether this is that question for one of our queues, and until
// when (in Unix seconds) asynq wants the task leased.
func (f *fetcher) dequeues(keys []string, args []any) (lease int64, ok bool) {
	if len(keys) != 4 || len(args) != 2 {
		return 0, false
	}
	lease, ok = args[0].(int64)
	if !ok {
		return 0, false
	}
	for _, q := range f.queues {
		want, prefix := dequeueCall(q.name)
		if keys[0] == want[0] {
			return lease, keys[1] == want[1] && keys[2] == want[2] && keys[3] == want[3] && args[1] == prefix
		}
	}
	return 0, false
}

// dequeue answers asynq's question, whichever queue it was about, with the
// next task of any queue.
func (f *fetcher) dequeue(ctx context.Context, lease int64) *redis.Cmd {
	f.recognised.Store(true)
	answer := redis.NewCmd(ctx)
	if f.skip > 0 {
		f.skip--
		answer.SetErr(redis.Nil)
		return answer
	}
	begin := time.Now()
	for {
		if message, ok := f.take(); ok {
			f.out.Add(1)
			answer.SetVal(message)
			return answer
		}
		// asynq dates the lease from its question, and so must Redis.
		n, err := f.fetch(ctx, lease+int64(time.Since(begin)/time.Second))
		switch {
		case errors.Is(err, redis.ErrNoScript):
			answer.SetErr(err) // asynq asks again, and brings the script
			return answer
		case err != nil:
			f.counts.failed.Add(1)
			f.pause(fetchPause)
			answer.SetErr(err)
			return answer
		case n > 0:
			continue
		}
		// asynq takes the lease to run from its question, so that it must not
		// wait for the answer for long.
		if !f.waker.connected.Load() || !f.wait(f.maxWait-time.Since(begin)) {
			f.skip = len(f.queues) - 1
			answer.SetErr(redis.Nil)
			return answer
		}
	}
}

// take gives the first task of the buffer.
func (f *fetcher) take() (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.buffer) == 0 {
		return "", false
	}
	first := f.buffer[0]
	f.buffer = f.buffer[1:]
	return first.message, true
}

// wait returns true after a wake-up, false when the time is up or the fetcher
// is closed.
func (f *fetcher) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-f.wake:
		return true
	case <-timer.C:
		return false
	case <-f.closing:
		return false
	}
}

func (f *fetcher) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.closing:
	}
}

// awake ends a wait, or keeps the next one from beginning.
func (f *fetcher) awake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// fetch fills the buffer, with never more than there are free slots: a task in
// the buffer is active for Redis, and nobody else can have it.
func (f *fetcher) fetch(ctx context.Context, lease int64) (int, error) {
	f.asking <- struct{}{}
	defer func() { <-f.asking }()
	room := min(max(f.slots-int(f.out.Load()), 1), f.most)
	f.bulkFull.Store(true) // before the look, or a task that ends meanwhile wakes nobody
	bulkRoom := f.bulkSlots - int(f.bulkOut.Load())
	if bulkRoom > 0 {
		f.bulkFull.Store(false)
	}
	queues := f.order()
	for len(queues) > 0 && !f.isClosed() {
		var asked []*ask
		for left := room; left > 0 && len(queues) > 0; queues = queues[1:] {
			a := &ask{source: queues[0], n: min(queues[0].want, left)}
			if a.source.bulk {
				if a.n = min(a.n, bulkRoom); a.n <= 0 {
					continue
				}
				bulkRoom -= a.n
			}
			asked = append(asked, a)
			left -= a.n
		}
		if len(asked) == 0 {
			break
		}
		tasks, err := f.pull(ctx, asked, lease)
		if len(tasks) > 0 {
			f.counts.tasks.Add(uint64(len(tasks)))
			f.keep(ctx, tasks)
			return len(tasks), nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// order is the queues in a random order in which the heavier come first more
// often, as asynq itself does it: no queue starves.
func (f *fetcher) order() []*source {
	var tickets []*source
	for _, q := range f.queues {
		for range q.weight {
			tickets = append(tickets, q)
		}
	}
	swap := func(i, j int) { tickets[i], tickets[j] = tickets[j], tickets[i] }
	rand.Shuffle(len(tickets), swap) //nolint:gosec // the order of queues is no secret
	order := make([]*source, 0, len(f.queues))
	seen := make(map[*source]bool, len(f.queues))
	for _, q := range tickets {
		if !seen[q] {
			seen[q] = true
			order = append(order, q)
		}
	}
	return order
}

// ask is a question for n tasks of a queue.
type ask struct {
	source  *source
	n       int
	replies []*redis.Cmd
}

// pull runs asynq's script as often as asked, in one round trip. Tasks that
// came are returned even if other questions failed.
func (f *fetcher) pull(ctx context.Context, asked []*ask, lease int64) ([]fetched, error) {
	f.send(ctx, asked, lease, "evalsha", f.sha)
	if f.script != "" && unknownScript(asked) {
		// Redis was started anew, or this is a node not met before.
		f.send(ctx, asked, lease, "eval", f.script)
	}
	var (
		tasks []fetched
		first error
	)
	for _, a := range asked {
		got := 0
		for _, reply := range a.replies {
			message, err := reply.Text()
			switch {
			case err == nil:
				got++
				tasks = append(tasks, fetched{queue: a.source.name, message: message})
			case errors.Is(err, redis.Nil):
			case redis.HasErrorPrefix(err, "NOSCRIPT"):
				first = redis.ErrNoScript
			case first == nil:
				first = err
			}
		}
		if got == a.n {
			a.source.want = min(2*a.source.want, f.most)
		} else {
			a.source.want = min(firstWant, f.most)
		}
	}
	return tasks, first
}

// send asks, and with eval repeats only what was answered with NOSCRIPT.
func (f *fetcher) send(ctx context.Context, asked []*ask, lease int64, name, script string) {
	pipe := f.Pipeline()
	for _, a := range asked {
		keys, prefix := dequeueCall(a.source.name)
		if a.replies == nil {
			a.replies = make([]*redis.Cmd, a.n)
		}
		for i, reply := range a.replies {
			if reply == nil || redis.HasErrorPrefix(reply.Err(), "NOSCRIPT") {
				a.replies[i] = evalCmd(ctx, name, script, keys, []any{lease, prefix})
				_ = pipe.Process(ctx, a.replies[i])
			}
		}
	}
	f.counts.roundTrips.Add(1)
	_, _ = pipe.Exec(ctx) // pull looks at each reply
}

func unknownScript(asked []*ask) bool {
	for _, a := range asked {
		for _, reply := range a.replies {
			if redis.HasErrorPrefix(reply.Err(), "NOSCRIPT") {
				return true
			}
		}
	}
	return false
}

// keep puts tasks into the buffer, or back where they came from when the
// fetcher was closed while they were on their way.
func (f *fetcher) keep(ctx context.Context, tasks []fetched) {
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.buffer = append(f.buffer, tasks...)
		for _, t := range tasks {
			if isBulk(t.queue) {
				f.bulkOut.Add(1)
			}
		}
	}
	f.mu.Unlock()
	if closed {
		f.waker.giveBack(ctx, tasks)
	}
}

func (f *fetcher) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// close ends the fetching: asynq is told that all queues are empty from now
// on. What is in the buffer goes back, and what is on its way, for which close
// waits unless Redis does not answer.
func (f *fetcher) close(ctx context.Context) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	f.closed = true
	close(f.closing)
	left := f.buffer
	f.buffer = nil
	f.mu.Unlock()
	f.waker.giveBack(ctx, left)
	timer := time.NewTimer(giveBackTimeout)
	defer timer.Stop()
	select {
	case f.asking <- struct{}{}:
		<-f.asking
	case <-timer.C:
	}
}
