package system

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dialtone/internal/sabotage"
)

// Process is one running binary.
type Process struct {
	Name string
	// Admin is the host and port of its admin listener, once it is known.
	Admin string

	cmd  *exec.Cmd
	mu   sync.Mutex
	log  bytes.Buffer
	done chan struct{}
	err  error
}

// Write takes what the process prints.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// Output is what the process has written so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Launch runs a binary with env and nothing else of ours, and stops it at the
// end of the test.
func Launch(t *testing.T, env []string, name string, args ...string) *Process {
	t.Helper()
	return LaunchAt(t, Binary(name), env, args...)
}

// LaunchAt is Launch for a program that is not ours.
func LaunchAt(t *testing.T, path string, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: filepath.Base(path), done: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	if sabotage.Built {
		p.cmd.Env = append(p.cmd.Env, "DIALTONE_SABOTAGE="+os.Getenv("DIALTONE_SABOTAGE"))
	}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Stop(t)
		if t.Failed() {
			t.Logf("%s said:\n%s", p.Name, tail(p.Output(), 6000))
		}
	})
	return p
}

// Stop ends a process gracefully, and by force when it does not obey.
func (p *Process) Stop(t *testing.T) {
	t.Helper()
	p.Signal(syscall.SIGTERM)
	p.Signal(syscall.SIGCONT) // it may be paused
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Errorf("%s did not stop within 30 s", p.Name)
		p.Kill()
	}
}

// Kill ends a process as a power cut would.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Signal sends a signal; a process that has ended does not mind.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// PID is the number that the kernel knows it by; names of processes hold it.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited says whether the process has ended, and how.
func (p *Process) Exited() (ended bool, err error) {
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// WaitExit waits until the process ends by itself, and gives its exit code.
func (p *Process) WaitExit(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("%s did not end within %s:\n%s", p.Name, within, p.Output())
		return -1
	}
}

// logged waits for a message in the process's JSON log and gives its address.
func (p *Process) logged(t *testing.T, message string) (address string) {
	t.Helper()
	Eventually(t, 30*time.Second, p.Name+" logs: "+message, func() bool {
		for line := range strings.Lines(p.Output()) {
			var said struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == message {
				address = said.Address
				return true
			}
		}
		p.mustRun(t)
		return false
	})
	return address
}

// Ready says whether the process says that it can work.
func (p *Process) Ready() bool { return p.says("/readyz") }

// Alive says whether the process says that it lives.
func (p *Process) Alive() bool { return p.says("/healthz") }

func (p *Process) says(path string) bool {
	resp, err := http.Get("http://" + p.Admin + path)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Metric adds up the series of a metric, or gives the one that is named with its
// labels.
func (p *Process) Metric(t *testing.T, name string) float64 {
	t.Helper()
	resp, err := http.Get("http://" + p.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(text)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if of, _, _ := strings.Cut(series, "{"); of != name && series != name {
			continue
		}
		number, err := strconv.ParseFloat(value[strings.LastIndex(value, " ")+1:], 64)
		if err != nil {
			t.Fatalf("metric %s: %v", name, err)
		}
		sum, found = sum+number, true
	}
	if !found {
		t.Fatalf("%s has no metric %s", p.Name, name)
	}
	return sum
}

// WaitReady waits until the process says that it is ready.
func (p *Process) WaitReady(t *testing.T) {
	t.Helper()
	Eventually(t, 30*time.Second, p.Name+" is ready", func() bool {
		p.mustRun(t)
		return p.Ready()
	})
}

func (p *Process) mustRun(t *testing.T) {
	t.Helper()
	if ended, err := p.Exited(); ended {
		t.Fatalf("%s ended: %v\n%s", p.Name, err, p.Output())
	}
}

// Run runs a binary to its end and gives its standard output.
func Run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(Binary(name), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func tail(s string, n int) string {
	if len(s) > n {
		return "...\n" + s[len(s)-n:]
	}
	return s
}

// Memory is how many bytes of memory the process has in use, as the kernel counts them.
func (p *Process) Memory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	t.Fatal("the kernel does not say how much memory the process has")
	return 0
}
