package chaos_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"dialtone/test/system"
)

// postgresServer is a Postgres that the test may break.
type postgresServer struct {
	t      *testing.T
	addr   string
	dsn    string
	daemon *daemon
	away   absence
}

func newPostgres(t *testing.T) *postgresServer {
	t.Helper()
	home := system.NewPostgresHome(t)
	home.Init(t, "--auth=trust")
	addr := system.LastingAddr(t)
	p := &postgresServer{t: t, addr: addr, dsn: fmt.Sprintf("postgres://dialtone:any@%s/postgres?sslmode=disable", addr)}
	// By SIGTERM it would wait for every client.
	p.daemon = newDaemon(t, syscall.SIGINT, home.Server(addr)...)
	p.start()
	return p
}

func (p *postgresServer) start() {
	p.t.Helper()
	p.daemon.start()
	system.AwaitPostgres(p.t, p.dsn)
}

// restart ends Postgres as an operator or as a crash does, and starts it again
// after a while.
func (p *postgresServer) restart(crash bool, away time.Duration) {
	p.t.Helper()
	back := p.away.begin()
	by := syscall.SIGINT
	if crash {
		by = syscall.SIGQUIT
	}
	p.daemon.end(by)
	time.Sleep(away)
	p.start()
	back()
}
