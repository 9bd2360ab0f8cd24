package promises

import "dialtone/internal/sabotage"

func bounded() []Break {
	return []Break{
		{sabotage.FreeSockets, "a socket has no deadline", one("internal/egress", "TestSocketsKeepTheDeadlineThemselves/driver sets none", "")},
		{sabotage.FreeDrivers, "a driver may take the deadline away", one("internal/egress", "TestSocketsKeepTheDeadlineThemselves/driver takes it away", "")},
		{sabotage.UncapReads, "a server may send any number of bytes", one("internal/egress", "TestReadCapIsOverTheEdge", "")},
		{sabotage.StretchConnect, "a dial may take a minute", one("internal/egress", "TestBlackHoleBeforeAGoodAddress", "")},
		{sabotage.StretchProbe, "a probe takes three times its time", one("internal/probe", "TestRunSharesTheTime", "")},
		{sabotage.LeaveSocketsOpen, "sockets outlive their probe", one("internal/egress", "TestCloseEndsAllAndIsIdempotent", "")},
		{sabotage.UnlimitDials, "a server may send us to any number of places", one("internal/egress", "TestLookupsHaveABudget", "")},
		{sabotage.StopDeadlineSweep, "nobody ends what is overdue", one("internal/batch", "TestRelayOfAnAPIOnlyEndsWhatIsOverdue", "")},
		{sabotage.StretchWait, "a caller waits a minute longer", one("internal/api", "TestWaitIsNeverEmptyHanded/overdue", "")},
		{sabotage.IgnoreCancel, "a probe goes on after its test was cancelled", []Bite{
			{"internal/batch", "TestCancelStopsAProbe", ""},
			{"test/e2e", "TestCancel", ""},
		}},
		{sabotage.SkipBackPressure, "a project may have any number of tests wait", one("internal/batch", "TestBacklogIsBounded", "")},
	}
}

func durable() []Break {
	return []Break{
		{sabotage.StopRelay, "nobody puts back what the queue has lost", []Bite{
			{"internal/batch", "TestRelayPutsLostTasksBack", ""},
			{"test/e2e", "TestRedisThatLosesEverything", ""},
		}},
		{sabotage.StopReclaim, "the tests of a dead worker stay with it", one("internal/batch", "TestRelayReclaimsADeadWorkersTest", "")},
		{sabotage.DropFencing, "a report counts whoever sends it", stores("finish/the first report wins", "")},
		{sabotage.OverwriteReport, "a later report replaces the first", stores("finish/the first report wins", "")},
		{sabotage.TrustSignal, "who waits hears of a batch by the signal only", one("internal/batch", "TestWaitEndsWithoutASignal", "")},
		{sabotage.DropReport, "a report is dropped while the store is away", one("internal/batch", "TestAReportIsKeptUntilTheStoreIsBack", "")},
		{sabotage.DropClaim, "a worker that stops keeps its claims", one("internal/batch", "TestStopHandsBackWhatHasSentNoLogin", "")},
		{sabotage.ForgetAnswer, "the answer to a keyed request is not kept", one("internal/batch", "TestKeysAreHeldByWhoLives", "")},
		{sabotage.SkipKeyComparison, "a key answers another request than its own", stores("key/stands for one request of one project", "")},
		{sabotage.RemoveOpenBatches, "old batches are removed though they are open", stores("remove/batches done for longer than the age, with all they have", "")},
	}
}

func discreet() []Break {
	return []Break{
		{sabotage.PrintSecrets, "secrets print", one("internal/secret", "TestTextNeverPrints", "")},
		{sabotage.SkipScrub, "what a server says is passed on as it is", one("internal/probe", "TestReportIsScrubbed", "")},
		{sabotage.KeepSecrets, "secrets are kept after the test", stores("finish/records the report and wipes the secrets", "")},
		{sabotage.StoreInTheClear, "secrets are stored unsealed", stores("secrets/in no column of any table", "")},
		{sabotage.SealAnywhere, "sealed secrets open in any row", one("internal/store/record", "TestSecretsOpenInTheirRowOnly", "")},
		{sabotage.LogSecret, "a password is logged", one("internal/api", "TestAuditNamesTargetsAndNoSecrets", "")},
		{sabotage.TraceSecret, "a password is in a span", one("internal/telemetry", "TestOneTrace", "")},
		{sabotage.QueueEndpoint, "a task holds more than ids", one("internal/queue", "TestTaskHoldsIDsOnly", "")},
		{sabotage.QuoteValues, "what is wrong with a value is told with the value", one("internal/api", "TestBadRequests", "")},
		{sabotage.PlainDigest, "what a key stands for is stored as it came", stores("key/keeps nothing of the request", "")},
		{sabotage.ReadOtherProjects, "a batch can be read by other projects", stores("read/another project's", "")},
	}
}

func contained() []Break {
	return []Break{
		{sabotage.SkipControl, "the address that the kernel is about to use is not judged", one("internal/egress", "TestTheKernelsAddressIsJudgedAgain", "")},
		{sabotage.SkipAnswers, "what a name resolves to is not judged", one("internal/egress", "TestLookup/forbidden answers", "")},
		{sabotage.SkipResolverCheck, "any name server may be asked", one("internal/egress", "TestResolverMustPassThePolicy", "")},
		{sabotage.SkipOwn, "our own servers may be dialled", one("internal/egress", "TestOwnIsDeniedAlways", "")},
		{sabotage.SkipUnmap, "an IPv4 address passes for IPv6", one("internal/egress", "TestClassification", "")},
		{sabotage.DialAnything, "a server may send us anywhere", []Bite{
			{"internal/probe", "TestForbiddenMember", ""},
			{"test/egress", "TestSentToAForbiddenAddress/kafka", ""},
			{"test/egress", "TestSentToAForbiddenAddress/oracle", ""},
			{"test/egress", "TestSentToAForbiddenName/mongodb", ""},
		}},
		{sabotage.AskForbiddenNames, "names that may not be looked up are", one("internal/egress", "TestLookupMakesNoQueryForDeniedNames", "")},
		{sabotage.UnpinNames, "a name is looked up again when it is dialled", one("internal/egress", "TestRebinding", "")},
		{sabotage.DenyAtOnce, "a denial tells by its time whether a name exists", one("internal/probe", "TestRunDeniesAlike", "")},
	}
}
