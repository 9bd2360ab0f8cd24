package embedded

import (
	"net"
	"sync"
	"time"
)

// pipe is the client's end of a net.Pipe whose writes do not wait for the
// reader. The bare one has no room for a single byte: a client that sends
// several commands before it reads would wait for a server that waits for its
// first answer to be read. What it holds is bounded by what a client sends
// before it reads.
type pipe struct {
	net.Conn
	ready   chan struct{} // has room for one
	closing chan struct{}
	close   sync.Once
	writing sync.WaitGroup

	mu     sync.Mutex
	unsent []byte
	err    error
}

func newPipe(c net.Conn) *pipe {
	p := &pipe{Conn: c, ready: make(chan struct{}, 1), closing: make(chan struct{})}
	p.writing.Go(p.send)
	return p
}

// Write never blocks. It reports what an earlier one came to.
func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, p.err
	}
	p.unsent = append(p.unsent, b...)
	select {
	case p.ready <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (p *pipe) send() {
	for {
		select {
		case <-p.ready:
		case <-p.closing:
			return
		}
		p.mu.Lock()
		b := p.unsent
		p.unsent = nil
		p.mu.Unlock()
		if _, err := p.Conn.Write(b); err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			return
		}
	}
}

// SetDeadline bounds reads: writes take no time.
func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetWriteDeadline does nothing.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// Close ends both directions and waits for the writer.
func (p *pipe) Close() error {
	err := p.Conn.Close()
	p.close.Do(func() { close(p.closing) })
	p.writing.Wait()
	return err
}
