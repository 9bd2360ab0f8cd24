package api

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"

	"dialtone/internal/api/wire"
	"dialtone/internal/batch"
)

// pageSize is how many batches a page holds if the caller does not say.
const pageSize = 50

// ListBatches lists the project's batches.
func (s operations) ListBatches(ctx context.Context, r wire.ListBatchesRequestObject) (wire.ListBatchesResponseObject, error) {
	p := r.Params
	page, err := s.parts.Batches.List(ctx, batch.Query{
		Project: exchangeOf(ctx).caller.Project, State: batch.State(p.State), JobID: p.JobID,
		Since: p.CreatedAfter, Until: p.CreatedBefore, After: p.Cursor, Limit: cmp.Or(p.Limit, pageSize),
	})
	if err != nil {
		return nil, err
	}
	answer := wire.BatchPage{Batches: []wire.Batch{}, Next: page.Next}
	for _, b := range page.Batches {
		answer.Batches = append(answer.Batches, batchView(b))
	}
	return wire.ListBatches200JSONResponse(answer), nil
}

// GetBatch reads a batch.
func (s operations) GetBatch(ctx context.Context, r wire.GetBatchRequestObject) (wire.GetBatchResponseObject, error) {
	x := exchangeOf(ctx)
	b, tests, err := s.parts.Batches.Batch(ctx, x.caller.Project, r.BatchID)
	if err != nil {
		return nil, err
	}
	return wire.GetBatch200JSONResponse(batchWhole(b, tests, x.language)), nil
}

// CancelBatch ends a batch.
func (s operations) CancelBatch(ctx context.Context, r wire.CancelBatchRequestObject) (wire.CancelBatchResponseObject, error) {
	x := exchangeOf(ctx)
	if err := s.parts.Canceller.Cancel(ctx, x.caller.Project, r.BatchID); err != nil {
		return nil, err
	}
	x.batch = r.BatchID
	s.note(ctx, "cancel", "batch cancelled", slog.String("batch", r.BatchID))
	b, tests, err := s.parts.Batches.Batch(ctx, x.caller.Project, r.BatchID)
	if err != nil {
		return nil, err
	}
	return wire.CancelBatch200JSONResponse(batchWhole(b, tests, x.language)), nil
}

// GetOpenAPI serves the document that all this is made from.
func (s operations) GetOpenAPI(context.Context, wire.GetOpenAPIRequestObject) (wire.GetOpenAPIResponseObject, error) {
	return wire.GetOpenAPI200ApplicationYamlResponse{Body: bytes.NewReader(document), ContentLength: int64(len(document))}, nil
}
