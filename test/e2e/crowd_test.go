package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"
)

// crowd says how many of each come; DIALTONE_TEST_CROWD=full brings as many as
// the limit of open files here lets in.
type crowd struct{ idle, slow, large, waiters int }

func theCrowd(t *testing.T) crowd {
	t.Helper()
	if os.Getenv("DIALTONE_TEST_CROWD") == "full" {
		var files syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
			t.Fatal(err)
		}
		c := crowd{slow: 500, large: 200, waiters: 1000}
		c.idle = min(10_000, int(min(files.Cur, 1<<20))-5_000) // the rest is for the others, here and at the api
		return c
	}
	return crowd{idle: 1000, slow: 100, large: 40, waiters: 100}
}

// dial opens a connection to the api, and sends the beginning of something.
func dial(t *testing.T, s *system.System, say string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Write([]byte(say)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCrowd: whoever comes to stop the door up with connections, headers or
// bodies takes little memory, and others are served meanwhile.
func TestCrowd(t *testing.T) { //nolint:paralleltest // it measures
	s := system.Start(t, system.Options{Env: []string{
		"DIALTONE_JOBS=any", "DIALTONE_RATE_LIMIT=0", "DIALTONE_BACKLOG=5000", "DIALTONE_BODY_LIMIT=1MiB", "DIALTONE_BODY_MEMORY=8MiB",
	}})
	c := theCrowd(t)
	before := s.API.Memory(t)
	served := func(among string) {
		t.Helper()
		const calls = 15
		took := make([]time.Duration, calls)
		for i := range took {
			began := time.Now()
			if a := s.Must(http.MethodGet, "/batch-connections?limit=1", nil); a.Status != http.StatusOK {
				t.Fatalf("among %s: %d %s", among, a.Status, a.Body)
			}
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		now := s.API.Memory(t)
		t.Logf("among %s: others are served in %v (median), %v (slowest); memory %d MiB, before %d MiB", among, took[calls/2], took[calls-1], now>>20, before>>20)
		if took[calls/2] > time.Second {
			t.Errorf("among %s others wait for %v", among, took[calls/2])
		}
		// 32 KiB for a connection, with its buffers and goroutine, and what one process may hold of bodies.
		if most := before + int64(c.idle+3*c.slow+c.waiters)*32<<10 + 96<<20; now > most {
			t.Errorf("among %s: %d MiB, more than %d MiB", among, now>>20, most>>20)
		}
	}
	head := "POST /v3/" + system.Project + "/jobs/batch-connection HTTP/1.1\r\nHost: door\r\nX-Auth-Token: " + system.Token + "\r\n"

	for range c.idle {
		dial(t, s, "")
	}
	served(fmt.Sprintf("%d idle connections", c.idle))
	var slowest net.Conn
	for range c.slow {
		slowest = dial(t, s, head) // and the headers never end
		dial(t, s, head+"Content-Length: 1000\r\n\r\n{")
	}
	served(fmt.Sprintf("%d slow callers more", 2*c.slow))

	flood := head + strings.Repeat("X-Flood: "+strings.Repeat("x", 1000)+"\r\n", 1000)
	for range c.slow {
		conn := dial(t, s, "")
		go func() { _, _ = conn.Write([]byte(flood)) }() // it is not read to its end
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			continue // reset, because more was sent than read
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Fatalf("a megabyte of headers: %d", resp.StatusCode)
		}
	}
	served("floods of headers")

	nested := []byte(`{"jobs":` + strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000) + "}")
	refused(t, s.MustSend(system.Request{Method: http.MethodPost, Path: "/jobs/batch-connection", Body: nested, Odd: true}), http.StatusBadRequest, "DRS.M00007")
	bodies := make(chan error, c.large)
	for i := range c.large {
		size, want := 2<<20, http.StatusRequestEntityTooLarge
		if i%2 == 0 {
			size, want = 1<<20-100, http.StatusBadRequest
		}
		go func() {
			r, err := s.HTTP(t.Context(), system.Request{Method: http.MethodPost, Path: "/jobs/batch-connection", Body: bytes.Repeat([]byte("["), size)})
			if err != nil {
				bodies <- err
				return
			}
			resp, err := s.Client.Do(r)
			if err != nil { // it is not read to its end
				bodies <- nil
				return
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want && resp.StatusCode != http.StatusServiceUnavailable { // there is no room for all at once
				err = fmt.Errorf("a body of %d bytes: %d, want %d", size, resp.StatusCode, want)
			}
			bodies <- err
		}()
	}
	for range c.large {
		if err := <-bodies; err != nil {
			t.Error(err)
		}
	}
	served(fmt.Sprintf("%d large bodies", c.large))

	pit := system.NewPit(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	away := make(chan struct{}, c.waiters)
	for i := range c.waiters {
		entry := system.MariaDB(t, "dt_native").At(t, pit.Addr).With(system.Entry{"db_user": fmt.Sprintf("user-%d", i)})
		go func() {
			defer func() { away <- struct{}{} }()
			r, err := s.HTTP(ctx, system.Request{Method: http.MethodPost, Path: "/jobs/batch-connection", Body: map[string]any{"jobs": []system.Entry{entry}}})
			if err != nil {
				return
			}
			if resp, err := s.Client.Do(r); err == nil {
				_ = resp.Body.Close()
			}
		}()
	}
	system.Eventually(t, time.Minute, "all wait", func() bool { return s.API.Metric(t, "dialtone_batches_waited_for") == float64(c.waiters) })
	served(fmt.Sprintf("%d waiters more", c.waiters))
	_ = slowest.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, slowest); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("whose headers never end is still connected")
	}
	cancel()
	for range c.waiters {
		<-away
	}
}
