package system_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"dialtone/test/system"
)

// caller is a connection to an echo, through a Forward.
type caller struct {
	*testing.T
	net.Conn
}

func call(t *testing.T, addr, name string) caller {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := caller{t, conn}
	hello := "*4\r\n$5\r\nhello\r\n$1\r\n3\r\n$7\r\nsetname\r\n$8\r\n" + name + "\r\n"
	if err := c.echo(hello, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	return c
}

// echo sends a word and wants it back within a time.
func (c caller) echo(word string, within time.Duration) error {
	c.Helper()
	if _, err := io.WriteString(c, word); err != nil {
		return err
	}
	return c.back(word, within)
}

func (c caller) back(word string, within time.Duration) error {
	c.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		c.Fatal(err)
	}
	got := make([]byte, len(word))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, []byte(word)) {
		c.Errorf("%q came back of %q", got, word)
	}
	return nil
}

// TestForwardForOne takes the way from one of two clients.
func TestForwardForOne(t *testing.T) {
	t.Parallel()
	const soon, never = 10 * time.Second, 200 * time.Millisecond
	f := system.NewForward(t, system.Serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) }))
	one, other := call(t, f.Addr, "ab-1-one"), call(t, f.Addr, "ab-2-two")

	f.SilenceClient("-1-")
	if err := one.echo("held", never); !os.IsTimeout(err) {
		t.Errorf("a silenced client's word: %v", err)
	}
	if err := other.echo("word", soon); err != nil {
		t.Errorf("the other's: %v", err)
	}
	f.MendClient("-1-")
	if err := one.back("held", soon); err != nil {
		t.Errorf("what was sent in the silence: %v", err)
	}

	f.CutClient("-1-")
	if err := one.echo("lost", soon); err == nil || os.IsTimeout(err) {
		t.Errorf("on a cut connection: %v", err)
	}
	if err := other.echo("word", soon); err != nil {
		t.Errorf("the other's: %v", err)
	}
	f.MendClient("-1-")
	again := call(t, f.Addr, "ab-1-one")
	if err := again.echo("word", soon); err != nil {
		t.Errorf("on a new connection: %v", err)
	}
	f.Cut()
	for _, c := range []caller{again, other} {
		if err := c.echo("lost", soon); err == nil || os.IsTimeout(err) {
			t.Errorf("where all is cut: %v", err)
		}
	}
}
