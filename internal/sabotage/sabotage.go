// Package sabotage breaks the promises of docs/design.md one at a time, to show
// that a test notices. A switch stands where its promise is kept.
//
// Only a build under the tag sabotage has switches. In any other On is false
// for good: the compiler drops what it guards, and the linker finds nothing of
// this package to link. It imports nothing of ours, and may be imported by all.
package sabotage

// Switch names one way to break a promise.
type Switch string

// Compatible: what real clients rely on.
const (
	ReverseResults      Switch = "reverse-results"
	CountNothing        Switch = "count-nothing"
	RenameStatus        Switch = "rename-status"
	AcceptBadRequests   Switch = "accept-bad-requests"
	RefuseUnknownFields Switch = "refuse-unknown-fields"
	SkipSignatureTime   Switch = "skip-signature-time"
	SkipProject         Switch = "skip-project"
)

// Truthful: the verdict, the phase, the evidence, and who must act.
const (
	FailureIsSuccess      Switch = "failure-is-success"
	AlwaysBadCredentials  Switch = "always-bad-credentials"
	BlameTheDatabase      Switch = "blame-the-database"
	WrongPhase            Switch = "wrong-phase"
	DropEvidence          Switch = "drop-evidence"
	ShareLogins           Switch = "share-logins"
	ForgiveFloods         Switch = "forgive-floods"
	HideSharing           Switch = "hide-sharing"
	ForgetUnfinishedEntry Switch = "forget-unfinished-entry"
	TrustAnyCertificate   Switch = "trust-any-certificate"
)

// Harmless: one login per credential and test, few refused ones, few at once.
const (
	SkipMark             Switch = "skip-mark"
	IgnoreMark           Switch = "ignore-mark"
	MarkWithoutLease     Switch = "mark-without-lease"
	ShortenLease         Switch = "shorten-lease"
	StartClockLate       Switch = "start-clock-late"
	MarkTwice            Switch = "mark-twice"
	RetryLogin           Switch = "retry-login"
	ReleaseAfterLogin    Switch = "release-after-login"
	ClaimAfterLogin      Switch = "claim-after-login"
	ReclaimAfterLogin    Switch = "reclaim-after-login"
	LoginEverywhere      Switch = "login-everywhere"
	LoginAtMembers       Switch = "login-at-members"
	SkipLedger           Switch = "skip-ledger"
	ForgetRefusals       Switch = "forget-refusals"
	ForgetInterrupted    Switch = "forget-interrupted"
	ForgetLateReport     Switch = "forget-late-report"
	ForgetCredential     Switch = "forget-credential"
	SkipAccountSlot      Switch = "skip-account-slot"
	SkipEndpointSlot     Switch = "skip-endpoint-slot"
	SkipRest             Switch = "skip-rest"
	ProbeTwins           Switch = "probe-twins"
	HangUpWithoutGoodbye Switch = "hang-up-without-goodbye"
)

// Bounded: an answer by the deadline, and no more than so much.
const (
	FreeSockets       Switch = "free-sockets"
	FreeDrivers       Switch = "free-drivers"
	UncapReads        Switch = "uncap-reads"
	StretchConnect    Switch = "stretch-connect"
	ProbeForEver      Switch = "probe-for-ever"
	LetSleep          Switch = "let-sleep"
	StretchProbe      Switch = "stretch-probe"
	LeaveSocketsOpen  Switch = "leave-sockets-open"
	UnlimitDials      Switch = "unlimit-dials"
	StopDeadlineSweep Switch = "stop-deadline-sweep"
	StretchWait       Switch = "stretch-wait"
	IgnoreCancel      Switch = "ignore-cancel"
	SkipBackPressure  Switch = "skip-back-pressure"
	UncapBody         Switch = "uncap-body"
)

// Durable: what was accepted is answered.
const (
	StopRelay         Switch = "stop-relay"
	StopReclaim       Switch = "stop-reclaim"
	DropFencing       Switch = "drop-fencing"
	OverwriteReport   Switch = "overwrite-report"
	TrustSignal       Switch = "trust-signal"
	DropClaim         Switch = "drop-claim"
	CutLogins         Switch = "cut-logins"
	DropReport        Switch = "drop-report"
	ForgetAnswer      Switch = "forget-answer"
	SkipKeyComparison Switch = "skip-key-comparison"
	RemoveOpenBatches Switch = "remove-open-batches"
)

// Discreet: no secret where it does not belong.
const (
	PrintSecrets      Switch = "print-secrets"
	SkipScrub         Switch = "skip-scrub"
	TrustAnyServer    Switch = "trust-any-server"
	KeepSecrets       Switch = "keep-secrets"
	StoreInTheClear   Switch = "store-in-the-clear"
	SealAnywhere      Switch = "seal-anywhere"
	LogSecret         Switch = "log-secret"
	TraceSecret       Switch = "trace-secret"
	QueueEndpoint     Switch = "queue-endpoint"
	QuoteValues       Switch = "quote-values"
	PlainDigest       Switch = "plain-digest"
	ReadOtherProjects Switch = "read-other-projects"
)

// Contained: no packet to a forbidden address.
const (
	SkipControl       Switch = "skip-control"
	SkipAnswers       Switch = "skip-answers"
	SkipResolverCheck Switch = "skip-resolver-check"
	SkipOwn           Switch = "skip-own"
	SkipUnmap         Switch = "skip-unmap"
	DialAnything      Switch = "dial-anything"
	AskForbiddenNames Switch = "ask-forbidden-names"
	UnpinNames        Switch = "unpin-names"
	DenyAtOnce        Switch = "deny-at-once"
)
