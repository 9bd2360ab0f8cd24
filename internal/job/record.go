package job

import (
	"encoding/json"
	"errors"
)

// ErrNotFound is returned for a job that the project does not have.
var ErrNotFound = errors.New("no such job")

// ErrNameTaken is returned when a project already has a live job of that name;
// names are compared without case.
var ErrNameTaken = errors.New("the job name is taken")

// Record is a job with all that the DRS job calls show and filter by.
type Record struct {
	Job
	DBUseType   string
	EngineType  string
	Direction   string
	NetType     string
	TaskType    string
	NodeType    string
	Description string
	// Detail is the rest of the creation request as JSON, without any secret.
	Detail json.RawMessage
	// Endpoints holds source_endpoint and target_endpoint as JSON with their
	// secrets; a store seals it, and gives it back only to who asks for it.
	Endpoints json.RawMessage
	// ChildIDs lists a parent's sub-jobs, the forward one first.
	ChildIDs []string
}

// Filter selects jobs of one project.
type Filter struct {
	Project string
	// IDs or Name (a part of the name, without case) narrow the list.
	IDs        []string
	Name       string
	Status     Status
	DBUseType  string
	EngineType string
	NetType    string
	// TopLevel leaves out the sub-jobs of others, Live the deleted ones.
	TopLevel, Live bool
	// Offset and Limit page; Limit zero means all.
	Offset, Limit int
}
