package chaos_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"
)

// daemon is a server that the test starts and ends more than once. It ends with
// the test, after everything that was started later.
type daemon struct {
	t     *testing.T
	run   []string
	log   string
	cmd   *exec.Cmd
	ended chan struct{}
}

// newDaemon starts nothing yet. By stop it ends in good order.
func newDaemon(t *testing.T, stop syscall.Signal, run ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, run: run, log: filepath.Join(t.TempDir(), "log")}
	t.Cleanup(func() {
		if d.cmd != nil {
			d.end(stop)
		}
		if said, err := os.ReadFile(d.log); err == nil && t.Failed() {
			t.Logf("%s said:\n%s", run[0], said[max(0, len(said)-3000):])
		}
	})
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	out, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer out.Close()
	d.cmd, d.ended = exec.Command(d.run[0], d.run[1:]...), make(chan struct{})
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = "/", out, out
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(d.cmd, d.ended)
}

func (d *daemon) signal(s syscall.Signal) { _ = d.cmd.Process.Signal(s) }

// end sends a signal and waits until the server is gone.
func (d *daemon) end(by syscall.Signal) {
	d.t.Helper()
	d.signal(by)
	d.signal(syscall.SIGCONT) // it may be frozen
	select {
	case <-d.ended:
	case <-time.After(2 * system.WaitForServers):
		d.t.Errorf("%s did not end by %s", d.run[0], by)
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
}
