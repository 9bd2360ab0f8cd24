package promises

import "dialtone/internal/sabotage"

func compatible() []Break {
	return []Break{
		{sabotage.ReverseResults, "the results come in another order than the entries", one("internal/api", "TestResultsOnTheWire", "results-en.json (-want")},
		{sabotage.CountNothing, "count does not count the results", one("internal/api", "TestWaitIsNeverEmptyHanded", `{"count":0,`)},
		{sabotage.RenameStatus, "a good result has another status text", one("internal/api", "TestResultsOnTheWire", "doesn't match schema")},
		{sabotage.AcceptBadRequests, "what is wrong is carried out, and uses its key up", one("internal/api", "TestRefusalKeepsNoKey", "200 ")},
		{sabotage.RefuseUnknownFields, "a field that we do not know is refused", one("internal/api", "TestOddities/unknown fields", "it is not known")},
		{sabotage.SkipSignatureTime, "a signature is good for ever", one("internal/auth", "TestTamperedRequests", "want kind clock_skew")},
		{sabotage.SkipProject, "a credential is good for every project", one("internal/auth", "TestToken/other project", "Verify() (-want +got)")},
	}
}

func truthful() []Break {
	return []Break{
		{sabotage.FailureIsSuccess, "a test that failed is ok", one("internal/probe", "TestRunReportsPhases", "code = ok, want")},
		{sabotage.AlwaysBadCredentials, "every failure is DRS.KE0002", one("internal/api", "TestEveryVerdictHasItsCodeAndWords", "is answered as DRS.KE0002")},
		{sabotage.BlameTheDatabase, "a time-out for lack of our own time is the database's", one("internal/batch", "TestATimeOutForLackOfOurTimeIsOurs", "want deadline_exceeded")},
		{sabotage.WrongPhase, "the phase that failed is always the last one", one("internal/probe", "TestRunReportsPhases", "phases (-want +got)")},
		{sabotage.DropEvidence, "nothing says how the verdict is known", one("internal/probe", "TestForbiddenRedirectsKeepTheirAddress", "dials []; want the second")},
		{sabotage.ForgiveFloods, "a server that floods is called something else", one("internal/probe", "TestAFloodIsAbuseWhateverTheDriverSays", "want peer_abusive")},
		{sabotage.ShareLogins, "what became of a login is told of tests that sent none", one("internal/probe", "TestReportShareable", "= true, want false")},
		{sabotage.HideSharing, "a report that was shared looks like one of its own", stores("share/a failure to connect ends who waits for the endpoint", "SharedFrom")},
		{sabotage.TrustAnyCertificate, "a certificate that nobody vouches for is fine", one("internal/probe", "TestCertificateVerdicts", `ok in "", want tls_cert_untrusted`)},
		{sabotage.ForgetUnfinishedEntry, "an entry that nobody got to is a time-out of the database's", one("internal/api", "TestWaitIsNeverEmptyHanded/overdue and not to be ended", "Code:DRS.DT4003")},
	}
}

func harmless() []Break {
	return []Break{
		{sabotage.SkipMark, "no mark is set before a login", []Bite{
			{"internal/batch", "TestLoginIsRefusedOnceTheTestIsOver", "a login was permitted"},
			{"test/e2e", "TestKilledAfterTheLoginMark", "logins on"},
		}},
		{sabotage.IgnoreMark, "a login is sent although its mark was refused", []Bite{
			{"internal/probe", "TestMemberNeverLogsIn", "1 logins were permitted, the member says ok"},
			{"internal/probe/mysql", "TestConformance/cases/hook", "though the hook said no"},
			{"internal/probe/postgres", "TestConformance/cases/hook", "though the hook said no"},
			{"internal/probe/redis", "TestConformance/cases/hook", "though the hook said no"},
		}},
		{sabotage.MarkWithoutLease, "a mark is set after the lease has run out", stores("mark/not after the lease ran out", "MarkLogin() = true")},
		{sabotage.ShortenLease, "a lease is over before its probe", one("internal/batch", "TestAProbeIsOverBeforeItsLease", "the lease is")},
		{sabotage.StartClockLate, "a probe's time begins when the claim is granted", one("internal/batch", "TestAProbeIsOverBeforeItsLease", "longer than a probe's time")},
		{sabotage.MarkTwice, "a mark is set twice", stores("mark/once, under a lease in force", "ours again: MarkLogin() = true")},
		{sabotage.RetryLogin, "a probe is retried after a login", []Bite{
			{"internal/batch", "TestHandleDoesNotRetryAfterALogin", "want the report kept"},
			{"internal/probe", "TestReportRetryable", "sent true = true, want false"},
		}},
		{sabotage.ReleaseAfterLogin, "a claim is given back after a login", stores("release/not after a login", "tests_login_under_lease")},
		{sabotage.ClaimAfterLogin, "a test is claimed again after a login", stores("claim/not what has sent a login", "Claim() was granted")},
		{sabotage.ReclaimAfterLogin, "the Relay gives a test away after a login", stores("reclaim/not after a login", "Reclaim() after a login")},
		{sabotage.LoginEverywhere, "each address of a list gets a login", one("internal/probe", "TestAListGetsOneLogin", "servers heard credentials, want 1")},
		{sabotage.LoginAtMembers, "addresses that a server names get a login", one("internal/probe", "TestMemberNeverLogsIn", "2 logins were permitted")},
		{sabotage.SkipLedger, "the ledger is not asked", append(
			stores("guard/so many refusals of an account in a window", "want too_many_refused"),
			Bite{"test/e2e", "TestWrongPasswords", "the server refused 20 logins"},
		)},
		{sabotage.ForgetRefusals, "a refused login is not noted", stores("guard/a refused credential is not sent again for a while", "want same_credential")},
		{sabotage.ForgetInterrupted, "a login whose outcome nobody knows is not noted", append(
			stores("guard/an interrupted login is unknown and counts", "want too_many_refused"),
			Bite{"test/e2e", "TestKilledAfterTheMarkCounts", "2 logins, want 1"},
		)},
		{sabotage.ForgetLateReport, "the outcome of a login that came too late is not noted", stores("guard/a late report reaches the ledger", "not admitted: lease")},
		{sabotage.ForgetCredential, "the ledger does not know a credential again", stores("guard/a refused credential is not sent again for a while", "want same_credential")},
		{sabotage.SkipAccountSlot, "an account gets two logins at once", stores("guard/one login at a time for an account", "admitted, suppressed")},
		{sabotage.SkipEndpointSlot, "an endpoint gets any number of probes at once", stores("guard/so many probes at an endpoint", "admitted, suppressed")},
		{sabotage.SkipRest, "a full endpoint is probed again at once", one("internal/batch", "TestAFullEndpointRests", "probed again after")},
		{sabotage.ProbeTwins, "entries that ask for the very same are made twice", one("internal/batch", "TestSameEntriesAreTestedOnceAndShareAProjectsBudget", `is the same as ""`)},
		{sabotage.HangUpWithoutGoodbye, "a connection ends without the protocol's goodbye", one("test/politeness", "TestMariaDB", "Aborted_clients")},
	}
}
