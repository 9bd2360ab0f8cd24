// Package queue carries tasks from those who accept batches to those who probe
// endpoints, and the word that a batch is complete back to whoever waits. It
// is asynq on Redis, and the only package that knows either: what a test is,
// when it may run and how often is decided elsewhere. Nothing that it puts
// into Redis says more than which test and which attempt.
package queue

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dialtone/internal/batch"
)

// taskType is the one type of task. The queue, not the type, tells tasks apart.
const taskType = "test"

var errNotATask = errors.New("not a task of ours")

// Name is the queue of a lane and a network: "interactive:eip".
func Name(lane batch.Lane, network string) (string, error) {
	if lane != batch.Interactive && lane != batch.Bulk {
		return "", fmt.Errorf("queue name: unknown lane %q", lane)
	}
	if !validNetwork(network) {
		return "", fmt.Errorf("queue name: network %q is not made of 1 to 128 letters, digits, dots, dashes and underscores", network)
	}
	return string(lane) + ":" + network, nil
}

// parseName is the reverse of Name; false for queues that are not ours.
func parseName(name string) (batch.Lane, string, bool) {
	lane, network, found := strings.Cut(name, ":")
	if !found || lane != string(batch.Interactive) && lane != string(batch.Bulk) || !validNetwork(network) {
		return "", "", false
	}
	return batch.Lane(lane), network, true
}

// validNetwork keeps out what would end a Redis Cluster hash tag, a glob or a
// key: queue names stand in all of them.
func validNetwork(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// taskID is both the asynq id and the whole payload of a task.
func taskID(t batch.Task) string {
	return t.TestID + ":" + strconv.Itoa(t.Attempt)
}

// parseTask reads what taskID wrote, off the queue of that name.
func parseTask(queue string, payload []byte) (batch.Task, error) {
	lane, network, ok := parseName(queue)
	if !ok {
		return batch.Task{}, errNotATask
	}
	id, number, found := strings.Cut(string(payload), ":")
	attempt, err := strconv.Atoi(number)
	if !found || id == "" || err != nil || attempt < 1 {
		return batch.Task{}, errNotATask
	}
	return batch.Task{TestID: id, Attempt: attempt, Lane: lane, Network: network}, nil
}

// Everything of asynq's that is relied on beyond its public interface stands
// here: the names of its keys. The braces make Redis Cluster keep the keys of
// one queue together. The tests hold asynq to them.
func asynqKey(queue, part string) string { return "asynq:{" + queue + "}:" + part }

func taskKey(queue, id string) string { return asynqKey(queue, "t:"+id) }

// wakeChannel is where workers learn that a queue has tasks. Its hash tag is
// the queue's, see Producer.
func wakeChannel(queue string) string { return "dialtone:wake:{" + queue + "}" }

// doneChannel is where one api process learns which of its batches are done.
func doneChannel(replyTo string) string { return "dialtone:done:" + replyTo }

// endedChannel is where workers learn that tests may have been ended under
// them.
const endedChannel = "dialtone:ended"

// choreQueue is the queue of what is to be done once in a while, by whichever
// worker.
const choreQueue = "chores"
