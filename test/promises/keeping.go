package promises

import "dialtone/internal/sabotage"

func bounded() []Break {
	return []Break{
		{sabotage.FreeSockets, "a socket has no deadline", one("internal/egress", "TestSocketsKeepTheDeadlineThemselves/driver sets none", "the socket's deadline ends a read")},
		{sabotage.FreeDrivers, "a driver may take the deadline away", one("internal/egress", "TestSocketsKeepTheDeadlineThemselves/driver takes it away", "the socket's deadline ends a read")},
		{sabotage.UncapReads, "a server may send any number of bytes", one("internal/egress", "TestReadCapIsOverTheEdge", "want 40000")},
		{sabotage.StretchConnect, "a dial may take a minute", one("internal/egress", "TestBlackHoleBeforeAGoodAddress", "timed out")},
		{sabotage.ProbeForEver, "a test that kills its workers is probed again and again", one("internal/batch", "TestATestThatKillsWorkersIsNotProbedAgain", "want worker_lost and none")},
		{sabotage.LetSleep, "who waits for a slot is not told that it is free", one("internal/batch", "TestAFinishPutsWhoWaitedBack", "want the test that waited")},
		{sabotage.StretchProbe, "a probe takes three times its time", one("internal/probe", "TestRunSharesTheTime", "shares of a second took")},
		{sabotage.LeaveSocketsOpen, "sockets outlive their probe", one("internal/egress", "TestCloseEndsAllAndIsIdempotent", "a socket ends with its edge")},
		{sabotage.UnlimitDials, "a server may send us to any number of places", one("internal/egress", "TestLookupsHaveABudget", "look-up 2: look up")},
		{sabotage.StopDeadlineSweep, "nobody ends what is overdue", one("internal/batch", "TestRelayOfAnAPIOnlyEndsWhatIsOverdue", "never: the overdue batch is finished")},
		{sabotage.StretchWait, "a caller waits longer than it should", one("internal/api", "TestWaitIsNeverEmptyHanded/overdue", "answered after")},
		{sabotage.IgnoreCancel, "a probe goes on after its test was cancelled", []Bite{
			{"internal/batch", "TestCancelStopsAProbe", "the probe went on until its own end"},
			{"test/e2e", "TestCancel", "the probes' connections are closed"},
		}},
		{sabotage.UncapBody, "a body may have any length", one("internal/api", "TestLongBodyInChunks", "status 4")},
		{sabotage.SkipBackPressure, "a project may have any number of tests wait", one("internal/batch", "TestBacklogIsBounded", "<nil>, want it to fit: false")},
	}
}

func durable() []Break {
	return []Break{
		{sabotage.StopRelay, "nobody puts back what the queue has lost", []Bite{
			{"internal/batch", "TestRelayPutsLostTasksBack", "never: both tests are restored"},
			{"test/e2e", "TestRedisThatLosesEverything", "want timeout_no_reply after one"},
		}},
		{sabotage.StopReclaim, "the tests of a dead worker stay with it", one("internal/batch", "TestRelayReclaimsADeadWorkersTest", "never: the test is enqueued")},
		{sabotage.DropFencing, "a report counts whoever sends it", stores("finish/the first report wins", "a report without the lease was accepted")},
		{sabotage.OverwriteReport, "a later report replaces the first", []Bite{
			{sqlite, "TestStore/finish/the first report wins", "batches_open_within_total"}, // the count of open tests is wrong then
			{postgres, "TestStore/finish/the first report wins", "second Finish() = true"},
		}},
		{sabotage.TrustSignal, "who waits hears of a batch by the signal only", one("internal/batch", "TestWaitEndsWithoutASignal", "Wait = context deadline exceeded")},
		{sabotage.CutLogins, "a stop cuts off a login that is under way", one("internal/batch", "TestStopLetsALoginFinish", "the stop cut the login off")},
		{sabotage.DropReport, "a report is dropped while the store is away", one("internal/batch", "TestAReportIsKeptUntilTheStoreIsBack", "report <nil>, want ok")},
		{sabotage.DropClaim, "a worker that stops keeps its claims", one("internal/batch", "TestStopHandsBackWhatHasSentNoLogin", "want it queued again")},
		{sabotage.ForgetAnswer, "the answer to a keyed request is not kept", one("internal/batch", "TestKeysAreHeldByWhoLives", "an answered key is yours")},
		{sabotage.SkipKeyComparison, "a key answers another request than its own", stores("key/stands for one request of one project", "another request (-want")},
		{sabotage.RemoveOpenBatches, "old batches are removed though they are open", stores("remove/batches done for longer than the age, with all they have", "= 3 batches, 6 tests; want 2, 4")},
	}
}

func discreet() []Break {
	return []Break{
		{sabotage.PrintSecrets, "secrets print", one("internal/secret", "TestTextNeverPrints", "prints hunter22")},
		{sabotage.SkipScrub, "what a server says is passed on as it is", one("internal/probe", "TestReportIsScrubbed", "the report is not scrubbed")},
		{sabotage.TrustAnyServer, "a password is shown to a server that has proven nothing", []Bite{
			{"internal/probe/mysql", "TestPasswordByProof/system's roots, another name/caching_sha2_password", "the server got the password: true"},
			{"internal/probe/redis", "TestPasswordByProof/plain", "the server got the password: true"},
		}},
		{sabotage.KeepSecrets, "secrets are kept after the test", stores("finish/records the report and wipes the secrets", "tests_sealed_until_finished")},
		{sabotage.StoreInTheClear, "secrets are stored unsealed", stores("secrets/in no column of any table", "a secret is in the tables")},
		{sabotage.SealAnywhere, "sealed secrets open in any row", one("internal/store/record", "TestSecretsOpenInTheirRowOnly", "opened for another test")},
		{sabotage.LogSecret, "a password is logged", one("internal/api", "TestAuditOfARequest", "a secret is in the log")},
		{sabotage.TraceSecret, "a password is in a span", one("internal/telemetry", "TestOneTrace", "dialtone.password")},
		{sabotage.QueueEndpoint, "a task holds more than ids", one("internal/queue", "TestTaskHoldsIDsOnly", "payload")},
		{sabotage.QuoteValues, "what is wrong with a value is told with the value", one("internal/api", "TestBadRequests", "a secret is in the answer")},
		{sabotage.PlainDigest, "what a key stands for is stored as it came", stores("key/keeps nothing of the request", "a secret is in the tables")},
		{sabotage.ReadOtherProjects, "a batch can be read by other projects", stores("read/another project's", "want ErrNotFound")},
	}
}

func contained() []Break {
	return []Break{
		{sabotage.SkipControl, "the address that the kernel is about to use is not judged", one("internal/egress", "TestTheKernelsAddressIsJudgedAgain", "connect() = <nil>")},
		{sabotage.SkipAnswers, "what a name resolves to is not judged", one("internal/egress", "TestLookup/forbidden answers", "Lookup() = ok")},
		{sabotage.SkipResolverCheck, "any name server may be asked", one("internal/egress", "TestResolverMustPassThePolicy", "= <nil>, want resolver")},
		{sabotage.SkipOwn, "our own servers may be dialled", one("internal/egress", "TestOwnIsDeniedAlways", "= ok, want own")},
		{sabotage.SkipUnmap, "an IPv4 address passes for IPv6", one("internal/egress", "TestClassification", "embedded_ipv4")},
		{sabotage.DialAnything, "a server may send us anywhere", []Bite{
			{"internal/probe", "TestForbiddenMember", "want target_not_allowed"},
			{"test/egress", "TestSentToAForbiddenAddress/kafka", "the forbidden address"},
			{"test/egress", "TestSentToAForbiddenAddress/oracle", "the forbidden address"},
			{"test/egress", "TestSentToAForbiddenName/mongodb", "the forbidden address"},
		}},
		{sabotage.AskForbiddenNames, "names that may not be looked up are", one("internal/egress", "TestLookupMakesNoQueryForDeniedNames", "queries were made")},
		{sabotage.UnpinNames, "a name is looked up again when it is dialled", one("internal/egress", "TestRebinding", "not allowed: loopback")},
		{sabotage.DenyAtOnce, "a denial tells by its time whether a name exists", one("internal/probe", "TestRunDeniesAlike", "was denied after")},
	}
}
