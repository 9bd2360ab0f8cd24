package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
)

// identify checks what can be known before the body is touched, who calls above
// all, and reads it: a signature is made over the bytes received.
func (s *Server) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if open(c) {
			return next(c)
		}
		if err := s.parts.Auth.Precheck(r.Context(), r, c.Param("project_id")); err != nil {
			return s.unread(c, err)
		}
		if r.Header.Get("Content-Encoding") != "" && !strings.EqualFold(r.Header.Get("Content-Encoding"), "identity") {
			return s.unread(c, unsupported(probe.Words{English: "The body must not be compressed.", Chinese: "请求体不能压缩"}))
		}
		held := &holding{room: s.bodies}
		defer held.letGo()
		body, err := s.receive(c, held)
		if err != nil {
			return err
		}
		exchangeOf(r.Context()).body = body
		return next(c)
	}
}

func unsupported(words probe.Words) error {
	return &fault{status: http.StatusUnsupportedMediaType, code: codeMalformed, words: words}
}

// receive reads the body within its bounds of size and time.
func (s *Server) receive(c echo.Context, held *holding) ([]byte, error) {
	r := c.Request()
	tooLarge := &fault{status: http.StatusRequestEntityTooLarge, code: codeMalformed, words: probe.Words{
		English: "The body is too large.", Chinese: "请求体过大",
	}}
	if r.ContentLength > s.cfg.MaxBody {
		return nil, s.unread(c, tooLarge)
	}
	control := http.NewResponseController(c.Response())
	timed := control.SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout)) == nil
	body, err := io.ReadAll(held.of(http.MaxBytesReader(c.Response(), r.Body, sabotage.Swap(sabotage.UncapBody, s.cfg.MaxBody, 1<<40))))
	if err == nil {
		if timed {
			_ = control.SetReadDeadline(time.Time{}) // or a long wait would look like a lost client
		}
		return body, nil
	}
	// What is left of the body is not waited for.
	c.Response().Header().Set("Connection", "close")
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return nil, tooLarge
	}
	if errors.Is(err, errNoRoom) {
		return nil, unavailable(err)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &fault{status: http.StatusRequestTimeout, code: codeMalformed, words: probe.Words{English: "The body did not arrive in time.", Chinese: "请求体未能及时送达"}}
	}
	return nil, &fault{status: http.StatusBadRequest, code: codeMalformed, words: probe.Words{English: "The body did not arrive whole.", Chinese: "请求体不完整"}}
}

// unread passes on the refusal of a request whose body nobody read. The
// http.Server takes in the rest of a short one before it answers; the deadline
// keeps that from lasting.
func (s *Server) unread(c echo.Context, refusal error) error {
	_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout))
	return refusal
}

// errNoRoom is what reading a body ends with when too many bytes of others are
// held.
var errNoRoom = errors.New("too many bytes of bodies are held")

// holding is the room that one body has taken: for what has arrived, not for
// what was announced, or a few callers that send nothing could take it all.
type holding struct {
	room  *semaphore.Weighted
	bytes int64
	from  io.Reader
}

func (h *holding) of(body io.Reader) io.Reader {
	h.from = body
	return h
}

// Read implements io.Reader.
func (h *holding) Read(p []byte) (int, error) {
	n, err := h.from.Read(p)
	if n > 0 {
		if !h.room.TryAcquire(int64(n)) {
			return 0, errNoRoom
		}
		h.bytes += int64(n)
	}
	return n, err
}

func (h *holding) letGo() { h.room.Release(h.bytes) }
