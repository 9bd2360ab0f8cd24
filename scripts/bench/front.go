package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"dialtone/internal/batch"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// front puts a limit behind HTTP: the same caller, the same request and the
// same answer as dialtone's, with no more in between than reading and writing
// JSON. It takes what it is sent for right.
type front struct {
	limit   *limit
	server  *http.Server
	caller  *caller
	serving sync.WaitGroup
}

func newFront(ctx context.Context, l *limit, s subject, size int) (*front, error) {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &front{limit: l}
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: 10 * time.Second}
	f.serving.Go(func() { _ = f.server.Serve(listener) }) // ends with stop
	f.caller = newCaller("http://"+listener.Addr().String(), s.endpoint, s.vary, size, true)
	return f, ctx.Err()
}

func (f *front) stop() {
	_ = f.server.Close() // nobody is served any more
	f.serving.Wait()
}

type frontRequest struct {
	Jobs []struct {
		ID           string `json:"id"`
		NetType      string `json:"net_type"`
		DBType       string `json:"db_type"`
		IP           string `json:"ip"`
		DBPort       int    `json:"db_port"`
		DBUser       string `json:"db_user"`
		DBPassword   string `json:"db_password"`
		DBName       string `json:"db_name"`
		EndPointType string `json:"end_point_type"`
	} `json:"jobs"`
}

type frontResult struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Success bool   `json:"success"`
}

// ServeHTTP answers a batch.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request frontRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || r.Header.Get("X-Auth-Token") != token {
		http.Error(w, "not what this program sends", http.StatusBadRequest)
		return
	}
	targets := make([]probe.Target, len(request.Jobs))
	answer := struct {
		Results []frontResult `json:"results"`
		Count   int           `json:"count"`
	}{Count: len(request.Jobs)}
	for i, j := range request.Jobs {
		targets[i] = batch.Endpoint{
			NetType: j.NetType, DBType: j.DBType, IP: j.IP, DBPort: j.DBPort, User: j.DBUser,
			Password: secret.New(j.DBPassword), DBName: j.DBName, EndPointType: j.EndPointType,
		}.Target(project, probe.VerifyCA)
		answer.Results = append(answer.Results, frontResult{ID: j.ID, Status: "success", Success: true})
	}
	if err := f.limit.do(r.Context(), targets); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	text, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // a caller that is gone says so itself
}
