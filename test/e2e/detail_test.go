package e2e_test

import (
	"net/http"
	"time"

	"dialtone/test/system"
)

// batchDetail is what the native read gives, as far as the tests look.
type batchDetail struct {
	ID         string     `json:"id"`
	State      string     `json:"state"`
	Lane       string     `json:"lane"`
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
	State  string `json:"state"`
	Target struct {
		PasswordSet bool `json:"password_set"`
	} `json:"target"`
	Worker     string     `json:"worker"`
	Probes     int        `json:"probes"`
	Attempt    int        `json:"attempt"`
	StartedAt  *time.Time `json:"started_at"`
	LoginAt    *time.Time `json:"login_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Report     struct {
		Code   string `json:"code"`
		Phase  string `json:"phase"`
		Owner  string `json:"owner"`
		Remedy string `json:"remedy"`
		Phases []struct {
			Phase string `json:"phase"`
			State string `json:"state"`
		} `json:"phases"`
		Evidence struct {
			Version string `json:"server_version"`
			Product string `json:"server_product"`
			TLS     *struct {
				Version string `json:"version"`
			} `json:"tls"`
			LooksLike string `json:"looks_like"`
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
