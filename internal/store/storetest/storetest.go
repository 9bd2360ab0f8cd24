// Package storetest is the contract of a store, executed: what a store does
// for batches, tests and jobs, in any dialect. It knows no SQL. A store's own
// tests call Run and add what only they can know.
package storetest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/keyring"
	"dialtone/internal/secret"
)

// Store is what is put to the test.
type Store interface {
	Batches
	batch.KeyStore
	Housekeeping
	Jobs
	keyring.Store
	Insides
}

// Batches is what the domain asks of a store.
type Batches interface {
	batch.Creator
	batch.Claims
	batch.Sweeper
	batch.Reader
	batch.Ender
	batch.Announcer
}

// Housekeeping is what keeps a store from growing.
type Housekeeping interface {
	batch.Remover
	batch.Forgetter
}

// Jobs is what the api asks of a store.
type Jobs interface {
	JobReader
	JobWriter
}

// JobReader reads jobs.
type JobReader interface {
	// Jobs gives the project's jobs in the order of ids, with ChildIDs and
	// without Endpoints; what the project does not have is missing.
	Jobs(ctx context.Context, project string, ids []string) ([]job.Record, error)
	// JobEndpoints gives a job's endpoints in the clear, or job.ErrNotFound.
	JobEndpoints(ctx context.Context, project, id string) (json.RawMessage, error)
	// ListJobs gives a page, newest first, and the size of the whole list.
	ListJobs(ctx context.Context, f job.Filter) ([]job.Record, int, error)
}

// JobWriter changes jobs.
type JobWriter interface {
	// CreateJobs stores all jobs or none; job.ErrNameTaken.
	CreateJobs(ctx context.Context, records []job.Record) error
	// UpdateJob changes a job under its lock; job.ErrNotFound,
	// job.ErrNameTaken, or what change returned.
	UpdateJob(ctx context.Context, project, id string, change func(*job.Record) error) (job.Record, error)
	// PutJobState mirrors a job that lives elsewhere, or sets the state of one
	// of our own.
	PutJobState(ctx context.Context, state job.Job) (known job.Job, created bool, err error)
	// ReadyJobs moves our own jobs from CREATING to CONFIGURATION.
	ReadyJobs(ctx context.Context, age time.Duration) (int, error)
}

// Insides shows a test what the store keeps.
type Insides interface {
	// CheckKeys says whether the store's keys open what it holds.
	CheckKeys(ctx context.Context) error
	// Sealed gives the raw column of a test's sealed secrets, nil when empty.
	Sealed(ctx context.Context, testID string) ([]byte, error)
	// Keys are the store's keyset and the Box that was opened with it.
	Keys() (secret.Text, *secret.Box)
	// Outdate makes every batch and every key older by an age, and every report
	// of who has which keys.
	Outdate(ctx context.Context, age time.Duration) error
	// Count gives the number of rows of each of the Tables that has some.
	Count(ctx context.Context) (map[string]int, error)
	// Dump gives every byte of every column of every table, in any form that
	// leaves bytes next to each other next to each other.
	Dump(ctx context.Context) ([]byte, error)
}

// Tables are those of batches and what belongs to them.
func Tables() []string { return []string{"batches", "batch_jobs", "tests", "request_keys"} }

// Run runs the contract; open gives each case an empty store of its own.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for _, group := range [][]contract{
		creating(), claiming(), guarding(), sharing(), finishing(), racing(), sweeping(), ending(), reading(), sealing(),
		keepingJobs(), testability(), keying(), removing(), keepingKeys(), resealing(),
	} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.check(env{T: t, Store: open(t), project: "project-" + batch.NewID()})
			})
		}
	}
}

// contract is one clause.
type contract struct {
	name  string
	check func(env)
}
