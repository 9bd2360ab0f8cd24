package system

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// Request is a call to the API.
type Request struct {
	Method string
	// Path follows the project.
	Path string
	// Project is the one of the path. Default: Project.
	Project string
	// Body is sent as JSON; bytes are sent as they are.
	Body any
	// Header is added to X-Auth-Token and, where there is a body,
	// Content-Type; an empty value takes one of them away.
	Header map[string]string
	// Odd says that the request is, on purpose, not as openapi.yaml has it.
	Odd bool
}

// Answer is a decoded reply.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Decode reads the body as JSON.
func (a Answer) Decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.Body, into); err != nil {
		t.Fatalf("decode %q: %v", a.Body, err)
	}
}

// HTTP makes the request, for who wants to send it himself. It is made as the
// owner of Project, unless its header says otherwise.
func (s *System) HTTP(ctx context.Context, r Request) (*http.Request, error) {
	var body io.Reader
	switch b := r.Body.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	project := r.Project
	if project == "" {
		project = Project
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, s.URL+"/v3/"+project+r.Path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Auth-Token", cmp.Or(s.Token, Token))
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.Header {
		if value == "" {
			req.Header.Del(name)
			continue
		}
		req.Header.Set(name, value)
	}
	return req, nil
}

// Send makes the request and holds it and its answer against openapi.yaml. An
// error means that there was no answer.
func (s *System) Send(ctx context.Context, r Request) (Answer, error) {
	s.T.Helper()
	req, err := s.HTTP(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	return s.SendHTTP(ctx, req, r.Odd)
}

// SendHTTP is Send for a request made with HTTP.
func (s *System) SendHTTP(ctx context.Context, req *http.Request, odd bool) (Answer, error) {
	s.T.Helper()
	resp, err := s.Client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Status: resp.StatusCode, Header: resp.Header, Body: raw}
	for _, problem := range conform(ctx, req, odd, a) {
		s.T.Errorf("%s %s, answered with %d: %s", req.Method, req.URL.Path, a.Status, problem)
	}
	return a, nil
}

// Call makes a request as the token's owner; path follows the project, and
// header is names and values.
func (s *System) Call(ctx context.Context, method, path string, body any, header ...string) (Answer, error) {
	s.T.Helper()
	r := Request{Method: method, Path: path, Body: body, Header: map[string]string{}}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header[header[i]] = header[i+1]
	}
	return s.Send(ctx, r)
}

// Must is Call for a request that must be answered, however.
func (s *System) Must(method, path string, body any, header ...string) Answer {
	s.T.Helper()
	a, err := s.Call(s.T.Context(), method, path, body, header...)
	if err != nil {
		s.T.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// MustSend is Send for a request that must be answered, however.
func (s *System) MustSend(r Request) Answer {
	s.T.Helper()
	a, err := s.Send(s.T.Context(), r)
	if err != nil {
		s.T.Fatalf("%s %s: %v", r.Method, r.Path, err)
	}
	return a
}

// Entry is one request entry; fields are the wire's.
type Entry map[string]any

// Result is one entry's part of the compatible answers.
type Result struct {
	ID        string `json:"id"`
	Status    string `json:"status"`
	Success   *bool  `json:"success"`
	ErrorCode string `json:"error_code"`
	ErrorMsg  string `json:"error_msg"`
}

// OK says that the result is a success in both of its fields, in either call.
func (r Result) OK() bool {
	return r.Success != nil && *r.Success && (r.Status == "success" || r.Status == "true")
}

// Results is the compatible answer.
type Results struct {
	Count   int      `json:"count"`
	Results []Result `json:"results"`
}

// Test sends a batch and gives the Answer with the batch's id.
func (s *System) Test(entries ...Entry) (Results, string) {
	s.T.Helper()
	a := s.Must(http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": entries})
	if a.Status != http.StatusOK {
		s.T.Fatalf("batch-connection: %d %s", a.Status, a.Body)
	}
	var r Results
	a.Decode(s.T, &r)
	if r.Count != len(entries) || len(r.Results) != len(entries) {
		s.T.Fatalf("%d entries, Answer %s", len(entries), a.Body)
	}
	return r, a.Header.Get("X-Batch-Id")
}
