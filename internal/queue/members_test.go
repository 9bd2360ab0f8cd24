package queue_test

import (
	"net"
	"slices"
	"strings"
	"testing"

	"dialtone/internal/queue"
	"dialtone/internal/secret"
)

func TestMembersOfACluster(t *testing.T) {
	t.Parallel()
	nodes := strings.Split(need(t, "DIALTONE_TEST_REDIS_CLUSTER_ADDRS"), ",")
	r, err := queue.Connect(queue.Config{URL: secret.New("redis+cluster://" + nodes[0])})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := r.Members(t.Context())
	for _, node := range nodes {
		if !slices.Contains(got, node) {
			t.Errorf("Members() = %v, want %s among them", got, node)
		}
	}
}

func TestMembersBehindASentinel(t *testing.T) {
	t.Parallel()
	url := "redis+sentinel://" + need(t, "DIALTONE_TEST_REDIS_SENTINEL_ADDRS") + "/" + need(t, "DIALTONE_TEST_REDIS_SENTINEL_MASTER")
	r, err := queue.Connect(queue.Config{URL: secret.New(url)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := r.Members(t.Context())
	if len(got) < 2 {
		t.Fatalf("Members() = %v, want master and replica", got)
	}
	for _, server := range got {
		conn, err := net.Dial("tcp", server)
		if err != nil {
			t.Errorf("member %s: %v", server, err)
			continue
		}
		_ = conn.Close()
	}
}

func TestMembersOfASingleServer(t *testing.T) {
	t.Parallel()
	r, err := queue.Connect(queue.Config{URL: secret.New("redis://127.0.0.1:1")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := r.Members(t.Context()); len(got) != 0 {
		t.Errorf("Members() = %v, want none", got)
	}
}
