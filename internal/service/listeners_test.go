package service

import (
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReachableAt(t *testing.T) {
	t.Parallel()
	interfaces := func() ([]net.Addr, error) {
		return []net.Addr{
			&net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)},
			&net.IPNet{IP: net.IPv4(10, 0, 0, 5), Mask: net.CIDRMask(24, 32)},
			&net.IPNet{IP: net.ParseIP("fe80::1"), Mask: net.CIDRMask(64, 128)},
			&net.IPNet{IP: net.ParseIP("fd00::5"), Mask: net.CIDRMask(64, 128)},
		}, nil
	}
	listeners := []net.Addr{
		&net.TCPAddr{IP: net.IPv4(10, 0, 0, 5), Port: 9101},
		&net.TCPAddr{IP: net.IPv6unspecified, Port: 8080},
		&net.UnixAddr{Name: "/run/dialtone", Net: "unix"},
	}
	want := []string{"10.0.0.5:9101", "127.0.0.1:8080", "10.0.0.5:8080", "[fd00::5]:8080"}
	if diff := cmp.Diff(want, reachableAt(listeners, interfaces)); diff != "" {
		t.Errorf("reachableAt() (-want +got):\n%s", diff)
	}
	broken := func() ([]net.Addr, error) { return nil, errors.New("no") }
	if diff := cmp.Diff(want[:1], reachableAt(listeners, broken)); diff != "" {
		t.Errorf("reachableAt() of a machine without a list (-want +got):\n%s", diff)
	}
}
