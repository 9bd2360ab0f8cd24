// Package oracletest is an Oracle listener with one instance behind it, as far
// as a login goes: it answers CONNECT with ACCEPT, REFUSE, REDIRECT or RESEND,
// negotiates protocol and data types, checks an O5LOGON login against 12c, 11g
// and 10g verifiers, answers pings and sees the goodbye. It speaks as the
// releases 11.2, 12.1, 19c and 23ai do, whose messages differ.
//
// There is no Oracle server that a test could install. So that this one does
// not merely mirror the client beside it, it shares no code with it, and tests
// log in to it with clients of other people: python-oracledb and go-ora.
//
// It is imported by tests only.
package oracletest
