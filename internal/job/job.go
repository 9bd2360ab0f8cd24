// Package job holds what is known of a DRS job: its status, its role in a
// dual-active pair, and whether its connections may be tested now. It knows
// nothing of endpoints, stores or requests.
package job

import (
	"slices"
	"time"
)

// Status is where a job is in its life (contract: the DRS status enumeration).
type Status string

// Every status that DRS documents.
const (
	Creating                     Status = "CREATING"
	CreateFailed                 Status = "CREATE_FAILED"
	Configuration                Status = "CONFIGURATION"
	StartJobing                  Status = "STARTJOBING"
	WaitingForStart              Status = "WAITING_FOR_START"
	StartJobFailed               Status = "START_JOB_FAILED"
	Pausing                      Status = "PAUSING"
	FullTransferStarted          Status = "FULL_TRANSFER_STARTED"
	FullTransferFailed           Status = "FULL_TRANSFER_FAILED"
	FullTransferComplete         Status = "FULL_TRANSFER_COMPLETE"
	IncreTransferStarted         Status = "INCRE_TRANSFER_STARTED"
	IncreTransferFailed          Status = "INCRE_TRANSFER_FAILED"
	ReleaseResourceStarted       Status = "RELEASE_RESOURCE_STARTED"
	ReleaseResourceFailed        Status = "RELEASE_RESOURCE_FAILED"
	ReleaseResourceComplete      Status = "RELEASE_RESOURCE_COMPLETE"
	RebuildNodeStarted           Status = "REBUILD_NODE_STARTED"
	RebuildNodeFailed            Status = "REBUILD_NODE_FAILED"
	ChangeJobStarted             Status = "CHANGE_JOB_STARTED"
	ChangeJobFailed              Status = "CHANGE_JOB_FAILED"
	Deleted                      Status = "DELETED"
	ChildTransferStarting        Status = "CHILD_TRANSFER_STARTING"
	ChildTransferStarted         Status = "CHILD_TRANSFER_STARTED"
	ChildTransferComplete        Status = "CHILD_TRANSFER_COMPLETE"
	ChildTransferFailed          Status = "CHILD_TRANSFER_FAILED"
	ReleaseChildTransferStarted  Status = "RELEASE_CHILD_TRANSFER_STARTED"
	ReleaseChildTransferComplete Status = "RELEASE_CHILD_TRANSFER_COMPLETE"
	NodeUpgradeStart             Status = "NODE_UPGRADE_START"
	NodeUpgradeComplete          Status = "NODE_UPGRADE_COMPLETE"
	NodeUpgradeFailed            Status = "NODE_UPGRADE_FAILED"
)

// Statuses lists every status.
func Statuses() []Status {
	return []Status{
		Creating, CreateFailed, Configuration, StartJobing, WaitingForStart, StartJobFailed, Pausing,
		FullTransferStarted, FullTransferFailed, FullTransferComplete, IncreTransferStarted, IncreTransferFailed,
		ReleaseResourceStarted, ReleaseResourceFailed, ReleaseResourceComplete, RebuildNodeStarted, RebuildNodeFailed,
		ChangeJobStarted, ChangeJobFailed, Deleted, ChildTransferStarting, ChildTransferStarted, ChildTransferComplete,
		ChildTransferFailed, ReleaseChildTransferStarted, ReleaseChildTransferComplete,
		NodeUpgradeStart, NodeUpgradeComplete, NodeUpgradeFailed,
	}
}

// Valid says whether s is a documented status.
func (s Status) Valid() bool { return slices.Contains(Statuses(), s) }

// Deletable says whether a job in this status may be deleted (contract 3.5).
func (s Status) Deletable() bool {
	return s == CreateFailed || s == ReleaseResourceComplete || s == ReleaseChildTransferComplete
}

// Role is a job's part in a dual-active pair.
type Role string

// The roles. A job that is in no pair stands alone.
const (
	Standalone Role = "standalone"
	Parent     Role = "parent"   // the container; it has no connections of its own
	Forward    Role = "forward"  // site 1 to site 2
	Backward   Role = "backward" // site 2 to site 1
)

// Valid says whether r is one of the roles.
func (r Role) Valid() bool {
	return r == Standalone || r == Parent || r == Forward || r == Backward
}

// Job is one DRS job as far as connection tests need to know it.
type Job struct {
	ID       string `json:"id"`
	Project  string `json:"project"`
	Name     string `json:"name"`
	Status   Status `json:"status"`
	Role     Role   `json:"role"`
	ParentID string `json:"parent_id,omitempty"`
	// Mirrored is true for a job that lives elsewhere and whose state we are
	// only told.
	Mirrored  bool      `json:"mirrored"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Call is which of the two test calls was made.
type Call string

// The two calls (contract 1 and 2).
const (
	Connection Call = "connection"
	Cluster    Call = "cluster"
)

// Refusal says why a job's connections may not be tested now; empty: they may.
type Refusal string

// The refusals, in the order in which they are checked.
const (
	Fine            Refusal = ""
	Unknown         Refusal = "unknown"           // DRS.M05003
	Gone            Refusal = "deleted"           // DRS.M05004
	IsParent        Refusal = "is_parent"         // DRS.M00307
	IsChild         Refusal = "is_child"          // DRS.M00308
	WrongStatus     Refusal = "wrong_status"      // DRS.M00304
	ForwardNotReady Refusal = "forward_not_ready" // DRS.M00304
)

// Testable says whether j may be tested by call. A nil j is an unknown job.
// forward is the status of the forward sibling and matters for a backward job
// only. The rules are those of the two help pages: a job is tested in
// CONFIGURATION; the connection call refuses a parent, the cluster call
// refuses a child; a backward job waits until its forward one replicates.
func Testable(j *Job, forward Status, call Call) Refusal {
	switch {
	case j == nil:
		return Unknown
	case j.Status == Deleted:
		return Gone
	case call == Connection && j.Role == Parent:
		return IsParent
	case call == Cluster && (j.Role == Forward || j.Role == Backward):
		return IsChild
	case j.Status != Configuration:
		return WrongStatus
	case j.Role == Backward && forward != IncreTransferStarted:
		return ForwardNotReady
	default:
		return Fine
	}
}
