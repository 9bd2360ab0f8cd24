package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"dialtone/internal/api/wire"
	"dialtone/internal/auth"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
)

// fault is an answer that refuses a whole request.
type fault struct {
	status int
	code   string
	// words are the message; if there are none, those of the code.
	words probe.Words
	// problems are what is wrong with the request, in order of path.
	problems []problem
	// after is when to come again, for 409, 429 and 503.
	after time.Duration
	// cause is for our log.
	cause error
}

func (f *fault) Error() string {
	if f.cause != nil {
		return f.cause.Error()
	}
	return strconv.Itoa(f.status) + " " + f.code
}

func (f *fault) Unwrap() error { return f.cause }

// message is error_msg.
func (f *fault) message(l probe.Language) string {
	switch {
	case len(f.problems) > 0:
		return summary(f.problems, l)
	case f.words.English != "":
		return f.words.In(l)
	default:
		return drsWords(f.code).In(l)
	}
}

// refused is the answer to a request with problems, or nil if it has none.
func refused(problems []problem) error {
	problems = arrange(problems)
	if len(problems) == 0 || sabotage.On(sabotage.AcceptBadRequests) {
		return nil
	}
	return &fault{status: http.StatusBadRequest, code: problems[0].code, problems: problems}
}

// unavailable is the answer when something that we need does not work.
func unavailable(cause error) error {
	return &fault{
		status: http.StatusServiceUnavailable, code: codeService, after: 5 * time.Second, cause: cause,
		words: probe.Words{English: "The service cannot take the request now. Try again later.", Chinese: "服务暂时无法处理请求，请稍后重试"},
	}
}

// away says whether an error means that the store cannot be asked now.
func away(err error) bool {
	return errors.Is(err, batch.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// faultOf reads any error: the one place that gives errors their status.
func faultOf(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if refusal, ok := errors.AsType[*auth.Error](err); ok {
		return authFault(refusal)
	}
	if routing, ok := errors.AsType[*echo.HTTPError](err); ok {
		return routingFault(routing)
	}
	if full, ok := errors.AsType[*batch.FullError](err); ok {
		return &fault{status: http.StatusTooManyRequests, code: codeThrottled, after: full.After, words: probe.Words{
			English: "Too many tests of the project are waiting. Try again later.", Chinese: "该项目等待中的测试过多，请稍后重试",
		}}
	}
	switch {
	case errors.Is(err, batch.ErrNotFound):
		return &fault{status: http.StatusNotFound, code: codeJobUnknown, words: probe.Words{English: "There is no such batch.", Chinese: "批次不存在"}}
	case errors.Is(err, batch.ErrBadCursor):
		f, _ := errors.AsType[*fault](refused([]problem{{path: "cursor", code: codeInvalid, why: probe.Words{
			English: "it must be the next of an earlier page", Chinese: "必须为之前分页返回的 next 值",
		}}}))
		return f
	case errors.Is(err, job.ErrNotFound):
		return &fault{status: http.StatusNotFound, code: codeJobUnknown}
	case errors.Is(err, job.ErrNameTaken):
		return &fault{status: http.StatusUnprocessableEntity, code: codeNameTaken}
	case away(err):
		f, _ := errors.AsType[*fault](unavailable(err))
		return f
	case errors.Is(err, context.Canceled): // the caller's context, or it would have run out
		return &fault{status: statusClientGone, code: codeService, cause: err}
	default:
		return &fault{status: http.StatusInternalServerError, code: codeService, cause: err}
	}
}

// authFault gives each kind of refusal its answer. An unknown access key is
// answered like a wrong signature, or callers learn which ones exist.
func authFault(e *auth.Error) *fault {
	unauthorized := func(reason, grund string) *fault {
		return &fault{status: http.StatusUnauthorized, code: codeSignature, words: probe.Words{
			English: "Incorrect IAM authentication information: " + reason, Chinese: "IAM认证信息错误：" + grund,
		}}
	}
	switch e.Kind {
	case auth.NoCredential:
		return unauthorized("neither X-Auth-Token nor a signature was given", "缺少 X-Auth-Token 或签名")
	case auth.BadToken:
		return unauthorized("decrypt token fail", "Token 无效")
	case auth.TokenExpired:
		return unauthorized("the credential has expired", "凭证已过期")
	case auth.BadSignature, auth.UnknownKey:
		return unauthorized("verify aksk signature fail", "AK/SK 签名校验失败")
	case auth.ClockSkew:
		return unauthorized("verify aksk signature fail, X-Sdk-Date is more than 15 minutes away", "AK/SK 签名校验失败，X-Sdk-Date 与服务器时间相差超过 15 分钟")
	case auth.ProjectMismatch:
		return &fault{status: http.StatusForbidden, code: codeProject}
	case auth.NoRoles:
		return &fault{status: http.StatusNotFound, code: codeNoRoles}
	case auth.Unavailable:
		f, _ := errors.AsType[*fault](unavailable(e))
		return f
	default:
		return &fault{status: http.StatusInternalServerError, code: codeService, cause: e}
	}
}

// routingFault is what Echo says of a request that no route takes.
func routingFault(e *echo.HTTPError) *fault {
	switch e.Code {
	case http.StatusNotFound:
		return &fault{status: e.Code, code: codeNoSuchAPI, words: probe.Words{English: "The API does not exist.", Chinese: "API 不存在"}}
	case http.StatusMethodNotAllowed:
		return &fault{status: e.Code, code: codeNoSuchAPI, words: probe.Words{
			English: "The API does not have this method; see the header Allow.", Chinese: "API 不支持该方法，请参见 Allow 响应头",
		}}
	default:
		// A parameter that the generated code could not read; what it says
		// may quote the value.
		return &fault{status: http.StatusBadRequest, code: codeMalformed}
	}
}

// fail is the HTTPErrorHandler: it renders every error and logs those that
// someone should look at.
func (s *Server) fail(err error, c echo.Context) {
	x := exchangeOf(c.Request().Context())
	f := faultOf(err)
	s.auditRefusal(c, x, f, err)
	if f.status >= http.StatusInternalServerError {
		s.log.LogAttrs(c.Request().Context(), slog.LevelError, "request failed",
			slog.String("request", x.id), slog.String("route", c.Path()), slog.Int("status", f.status), slog.Any("error", err))
	}
	if c.Response().Committed {
		return
	}
	header := c.Response().Header()
	switch f.status {
	case http.StatusUnauthorized:
		// RFC 9110 wants a challenge; DRS's schemes have no registered names.
		header.Set("Www-Authenticate", `X-Auth-Token, SDK-HMAC-SHA256`)
	case http.StatusMethodNotAllowed:
		if allow, ok := c.Get(echo.ContextKeyHeaderAllow).(string); ok {
			header.Set("Allow", strings.TrimPrefix(strings.ReplaceAll(allow, "OPTIONS, ", ""), "OPTIONS"))
		}
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		header.Set("Retry-After", strconv.Itoa(max(1, int((f.after+time.Second-1)/time.Second))))
	}
	answer := wire.Error{ErrorCode: f.code, ErrorMsg: cut(f.message(x.language), maxMessage), RequestID: x.id, Problems: list(f.problems, x.language)}
	if err := c.JSON(f.status, answer); err != nil {
		s.log.LogAttrs(c.Request().Context(), slog.LevelDebug, "answer not delivered", slog.String("request", x.id), slog.Any("error", err))
	}
}
