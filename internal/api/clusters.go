package api

import (
	"context"
	"encoding/json"
	"strconv"

	"dialtone/internal/api/wire"
	"dialtone/internal/batch"
	"dialtone/internal/job"
	"dialtone/internal/probe"
	"dialtone/internal/secret"
)

// TestClusterConnections is the cluster call (contract 2).
func (s operations) TestClusterConnections(ctx context.Context, r wire.TestClusterConnectionsRequestObject) (wire.TestClusterConnectionsResponseObject, error) {
	x := exchangeOf(ctx)
	entries, problems := s.clusters(*r.Body, s.mostEntries(x))
	problems = append(x.problems, problems...)
	if err := refused(problems); err != nil {
		return nil, err
	}
	return s.test(ctx, job.Cluster, entries, func(b batch.Batch, results []batch.Result) answer {
		if x.async {
			return wire.TestClusterConnections202JSONResponse{Body: batchView(b), Headers: wire.TestClusterConnections202ResponseHeaders{
				Location: batchPath(b), PreferenceApplied: "respond-async", XBatchID: b.ID,
			}}.VisitTestClusterConnectionsResponse
		}
		body := wire.TestClusterConnectionsResponse{Results: []wire.ClusterResult{}, Count: len(results)}
		for i, result := range results {
			one := wire.ClusterResult{ID: entries[i].JobID, Status: wire.True, Success: result.OK}
			if !result.OK {
				one.Status = wire.False
				one.ErrorCode, one.ErrorMsg = failure(result, true, x.language)
			}
			body.Results = append(body.Results, one)
		}
		return wire.TestClusterConnections200JSONResponse{Body: body, Headers: wire.TestClusterConnections200ResponseHeaders{XBatchID: b.ID}}.VisitTestClusterConnectionsResponse
	})
}

// property reads the JSON text in a property: a list of endpoints, or one.
func (r reader) property(path string, given secret.Text) ([]batch.Endpoint, []problem) {
	tree, problems, bad := parseTree([]byte(given.Reveal()), path, r.names)
	if bad != nil {
		return nil, []problem{{path: path, code: codeInvalid, why: probe.Words{
			English: "it must hold JSON: " + bad.why.English, Chinese: "其内容必须为 JSON：" + bad.why.Chinese,
		}}}
	}
	objects, isList := tree.([]any)
	if _, isObject := tree.(map[string]any); isObject {
		objects = []any{tree}
	} else if !isList {
		return nil, []problem{{path: path, code: codeInvalid, why: probe.Words{English: "it must hold a JSON list of objects", Chinese: "其内容必须为 JSON 对象列表"}}}
	}
	most := strconv.Itoa(r.maxObjects)
	switch {
	case len(objects) == 0:
		return nil, []problem{{path: path, code: codeMissing, why: probe.Words{English: "its list must not be empty", Chinese: "其列表不能为空"}}}
	case len(objects) > r.maxObjects:
		return nil, []problem{{path: path, code: codeInvalid, why: probe.Words{English: "its list must hold at most " + most + " objects", Chinese: "其列表最多包含 " + most + " 个对象"}}}
	}
	endpoints := make([]batch.Endpoint, 0, len(objects))
	for i, object := range objects {
		at := path
		if isList {
			at += "[" + strconv.Itoa(i) + "]"
		}
		e, wrong := r.clusterEndpoint(at, object)
		problems = append(problems, wrong...)
		endpoints = append(endpoints, e)
	}
	return endpoints, problems
}

// The two spellings of one key: the help page's and Terraform's.
const (
	kafkaCamel = "kafkaSecurityConfig"
	kafkaSnake = "kafka_security_config"
)

// clusterEndpoint checks one object of a property.
func (r reader) clusterEndpoint(path string, object any) (batch.Endpoint, []problem) {
	kafkaKey := kafkaCamel
	var check checker
	if fields, ok := object.(map[string]any); ok {
		if snake, ok := fields[kafkaSnake]; ok {
			kafkaKey = kafkaSnake
			if fields[kafkaCamel] != nil {
				check.problems = append(check.problems, problem{path: join(path, kafkaSnake), code: codeDuplicate, why: probe.Words{
					English: "it is the same as " + kafkaCamel, Chinese: "与 " + kafkaCamel + " 含义相同",
				}})
			}
			fields[kafkaCamel] = snake
		}
	}
	clean, ok := check.check(r.clusterShape, path, object)
	if !ok {
		if len(check.problems) == 0 {
			check.problems = append(check.problems, problem{path: path, code: codeMissing, why: probe.Words{English: "it must not be empty", Chinese: "不能为空"}, whole: true})
		}
		return batch.Endpoint{}, check.problems
	}
	var given wire.ClusterEndpoint
	plain, err := json.Marshal(clean)
	if err == nil {
		err = json.Unmarshal(plain, &given)
	}
	if err != nil { // the document and its types disagree: a fault of ours
		return batch.Endpoint{}, append(check.problems, problem{path: path, code: codeInvalid})
	}
	e := batch.Endpoint{
		NetType: string(given.Nettype), DBType: given.Dbtype, IP: given.IP, DBPort: given.Dbport, InstID: given.Instid,
		User: given.Dbuser, Password: given.Dbpassword,
		SSLLink: given.Ssllink, SSLCertKey: given.Sslcertkey, SSLCertName: given.Sslcertname,
		SSLCertCheckSum: given.Sslcertchecksum, SSLCertPassword: given.Sslcertpassword,
		VpcID: given.VpcID, SubnetID: given.SubnetID, EndPointType: string(given.Endpointtype),
		Region: given.Region, ProjectID: given.ProjectID, DBName: given.DBName, Kafka: kafka(given.KafkaSecurityConfig),
	}
	for _, p := range e.Validate(job.Cluster) {
		check.problems = append(check.problems, ruleProblem(path, clusterField(p.Field, kafkaKey), p))
	}
	if kafkaKey == kafkaSnake {
		for i, p := range check.problems {
			check.problems[i].path = respell(p.path, path)
		}
	}
	return e, check.problems
}
