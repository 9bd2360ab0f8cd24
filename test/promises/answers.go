package promises

import "dialtone/internal/sabotage"

func compatible() []Break {
	return []Break{
		{sabotage.ReverseResults, "the results come in another order than the entries", one("internal/api", "TestResultsOnTheWire", "")},
		{sabotage.CountNothing, "count does not count the results", one("internal/api", "TestWaitIsNeverEmptyHanded", "")},
		{sabotage.RenameStatus, "a good result has another status text", one("internal/api", "TestResultsOnTheWire", "")},
		{sabotage.RefuseUnknownFields, "a field that we do not know is refused", one("internal/api", "TestOddities/unknown fields", "")},
		{sabotage.SkipSignatureTime, "a signature is good for ever", one("internal/auth", "TestTamperedRequests", "")},
		{sabotage.SkipProject, "a credential is good for every project", one("internal/auth", "TestToken/other project", "")},
	}
}

func truthful() []Break {
	return []Break{
		{sabotage.FailureIsSuccess, "a test that failed is ok", one("internal/probe", "TestRunReportsPhases", "")},
		{sabotage.AlwaysBadCredentials, "every failure is DRS.KE0002", one("internal/api", "TestEveryVerdictHasItsCodeAndWords", "")},
		{sabotage.BlameTheDatabase, "a time-out for lack of our own time is the database's", one("internal/batch", "TestATimeOutForLackOfOurTimeIsOurs", "")},
		{sabotage.WrongPhase, "the phase that failed is always the last one", one("internal/probe", "TestRunReportsPhases", "")},
		{sabotage.DropEvidence, "nothing says how the verdict is known", one("internal/probe", "TestForbiddenRedirectsKeepTheirAddress", "")},
		{sabotage.HideSharing, "a report that was shared looks like one of its own", stores("share/a failure to connect ends who waits for the endpoint", "")},
		{sabotage.ForgetUnfinishedEntry, "an entry that nobody got to is a time-out of the database's", one("internal/api", "TestWaitIsNeverEmptyHanded/overdue and not to be ended", "")},
	}
}

func harmless() []Break {
	return []Break{
		{sabotage.SkipMark, "no mark is set before a login", []Bite{
			{"internal/batch", "TestLoginIsRefusedOnceTheTestIsOver", ""},
			{"test/e2e", "TestKilledAfterTheLoginMark", ""},
		}},
		{sabotage.IgnoreMark, "a login is sent although its mark was refused", []Bite{
			{"internal/probe", "TestMemberNeverLogsIn", ""},
			{"internal/probe/redis", "TestConformance/cases/hook", ""},
		}},
		{sabotage.MarkWithoutLease, "a mark is set after the lease has run out", stores("mark/not after the lease ran out", "")},
		{sabotage.MarkTwice, "a mark is set twice", stores("mark/once, under a lease in force", "")},
		{sabotage.RetryLogin, "a probe is retried after a login", []Bite{
			{"internal/batch", "TestHandleDoesNotRetryAfterALogin", ""},
			{"internal/probe", "TestReportRetryable", ""},
		}},
		{sabotage.ReleaseAfterLogin, "a claim is given back after a login", stores("release/not after a login", "")},
		{sabotage.ClaimAfterLogin, "a test is claimed again after a login", stores("claim/not what has sent a login", "")},
		{sabotage.ReclaimAfterLogin, "the Relay gives a test away after a login", stores("reclaim/not after a login", "")},
		{sabotage.LoginEverywhere, "each address of a list gets a login", one("internal/probe", "TestAListGetsOneLogin", "")},
		{sabotage.LoginAtMembers, "addresses that a server names get a login", one("internal/probe", "TestMemberNeverLogsIn", "")},
		{sabotage.SkipLedger, "the ledger is not asked", append(stores("guard/so many refusals of an account in a window", ""), Bite{"test/e2e", "TestWrongPasswords", ""})},
		{sabotage.ForgetRefusals, "a refused login is not noted", stores("guard/a refused credential is not sent again for a while", "")},
		{sabotage.ForgetCredential, "the ledger does not know a credential again", stores("guard/a refused credential is not sent again for a while", "")},
		{sabotage.SkipAccountSlot, "an account gets two logins at once", stores("guard/one login at a time for an account", "")},
		{sabotage.SkipEndpointSlot, "an endpoint gets any number of probes at once", stores("guard/so many probes at an endpoint", "")},
		{sabotage.SkipRest, "a full endpoint is probed again at once", one("internal/batch", "TestAFullEndpointRests", "")},
		{sabotage.HangUpWithoutGoodbye, "a connection ends without the protocol's goodbye", one("test/politeness", "TestRedis", "")},
	}
}
