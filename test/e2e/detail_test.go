package e2e_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"dialtone/test/system"
)

// batchDetail is what the native read gives, as far as the tests look.
type batchDetail struct {
	ID         string     `json:"id"`
	Call       string     `json:"call"`
	State      string     `json:"state"`
	Lane       string     `json:"lane"`
	Caller     string     `json:"caller"`
	Entries    int        `json:"entries"`
	Total      int        `json:"total"`
	Open       int        `json:"open"`
	Deadline   time.Time  `json:"deadline"`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Results    []struct {
		Entry   int          `json:"entry"`
		Success bool         `json:"success"`
		Tests   []testDetail `json:"tests"`
	} `json:"results"`
}

type testDetail struct {
	ID     string `json:"id"`
	Entry  int    `json:"entry"`
	Object int    `json:"object"`
	JobID  string `json:"job_id"`
	State  string `json:"state"`
	Target struct {
		PasswordSet bool `json:"password_set"`
		Kafka       *struct {
			Type string `json:"type"`
		} `json:"kafka"`
	} `json:"target"`
	Worker     string     `json:"worker"`
	Probes     int        `json:"probes"`
	Attempt    int        `json:"attempt"`
	Seq        int        `json:"seq"`
	StartedAt  *time.Time `json:"started_at"`
	LoginAt    *time.Time `json:"login_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Report     struct {
		Code      string `json:"code"`
		Phase     string `json:"phase"`
		Owner     string `json:"owner"`
		Meaning   string `json:"meaning"`
		Remedy    string `json:"remedy"`
		LoginSent bool   `json:"login_sent"`
		Strict    bool   `json:"strict"`
		Addresses []struct {
			Code string `json:"code"`
		} `json:"addresses"`
		Phases []struct {
			Phase string `json:"phase"`
			State string `json:"state"`
		} `json:"phases"`
		Evidence struct {
			Version   string `json:"server_version"`
			Product   string `json:"server_product"`
			Mechanism string `json:"auth_mechanism"`
			TLS       *struct {
				Version string `json:"version"`
			} `json:"tls"`
			LooksLike string            `json:"looks_like"`
			Facts     map[string]string `json:"facts"`
		} `json:"evidence"`
	} `json:"report"`
}

// detail reads a batch.
func detail(s *system.System, id string) batchDetail {
	s.T.Helper()
	a := s.Must(http.MethodGet, "/batch-connections/"+id, nil)
	if a.Status != http.StatusOK {
		s.T.Fatalf("read batch %s: %d %s", id, a.Status, a.Body)
	}
	var d batchDetail
	a.Decode(s.T, &d)
	return d
}

// tests gives the tests of a batch in the order of its entries.
func (d batchDetail) tests() []testDetail {
	var all []testDetail
	for _, r := range d.Results {
		all = append(all, r.Tests...)
	}
	return all
}

// batchPage is a page of the list.
type batchPage struct {
	Batches []batchDetail `json:"batches"`
	Next    string        `json:"next"`
}

func (p batchPage) ids() []string {
	ids := make([]string, len(p.Batches))
	for i, b := range p.Batches {
		ids[i] = b.ID
	}
	return ids
}

// list reads a page; query begins with a question mark or is empty.
func list(s *system.System, query string) batchPage {
	s.T.Helper()
	a := s.Must(http.MethodGet, "/batch-connections"+query, nil)
	if a.Status != http.StatusOK {
		s.T.Fatalf("list %s: %d %s", query, a.Status, a.Body)
	}
	var p batchPage
	a.Decode(s.T, &p)
	return p
}

// later sends a batch that nobody waits for and gives its id.
func later(s *system.System, entries ...system.Entry) string {
	s.T.Helper()
	a := s.Must(http.MethodPost, "/jobs/batch-connection", map[string]any{"jobs": entries}, "Prefer", "respond-async")
	if a.Status != http.StatusAccepted {
		s.T.Fatalf("async: %d %s", a.Status, a.Body)
	}
	return a.Header.Get("X-Batch-Id")
}

// done waits until a batch is done and reads it.
func done(s *system.System, within time.Duration, id string) batchDetail {
	s.T.Helper()
	var d batchDetail
	system.Eventually(s.T, within, "batch "+id+" is done", func() bool {
		d = detail(s, id)
		return d.State == "done"
	})
	return d
}

// fault is the shape of every refusal of a whole request.
type fault struct {
	Code      string `json:"error_code"`
	Msg       string `json:"error_msg"`
	RequestID string `json:"request_id"`
	Problems  []struct {
		Path string `json:"path"`
		Code string `json:"error_code"`
	} `json:"problems"`
}

// refused wants a refusal whose problems are at the paths, in their order.
func refused(t *testing.T, a system.Answer, status int, code string, paths ...string) fault {
	t.Helper()
	if a.Status != status {
		t.Errorf("answered with %d %s, want %d", a.Status, a.Body, status)
		return fault{}
	}
	var f fault
	a.Decode(t, &f)
	var got []string
	for _, p := range f.Problems {
		got = append(got, p.Path)
	}
	if f.Code != code || f.Msg == "" || f.RequestID != a.Header.Get("X-Request-Id") || !slices.Equal(got, paths) {
		t.Errorf("refused with %s, want code %s and problems at %q", a.Body, code, paths)
	}
	return f
}
