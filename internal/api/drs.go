package api

import (
	"strings"

	"dialtone/internal/probe"
	"dialtone/internal/sabotage"
)

// The DRS codes that we answer with for whole requests and jobs.
const (
	codeService     = "DRS.M00004"
	codeMalformed   = "DRS.M00007"
	codeNoRoles     = "DRS.M00101"
	codeNoRight     = "DRS.M00102"
	codeMissing     = "DRS.M00201"
	codeInvalid     = "DRS.M00202"
	codePage        = "DRS.M00210"
	codePageLimit   = "DRS.M00211"
	codeProject     = "DRS.M00261"
	codeTagTwice    = "DRS.M00269"
	codeTagLong     = "DRS.M00270"
	codeTagMany     = "DRS.M00271"
	codeCharacters  = "DRS.M00273"
	codeNameTaken   = "DRS.M00277"
	codeJobNotFound = "DRS.M00289" // of the job queries
	codeDuplicate   = "DRS.M00301"
	codeJobStatus   = "DRS.M00304"
	codeOnlyChild   = "DRS.M00307"
	codeOnlyParent  = "DRS.M00308"
	codeThrottled   = "DRS.M01503"
	codeJobUnknown  = "DRS.M05003" // of the tests and changes
	codeJobDeleted  = "DRS.M05004"
	codeCredentials = "DRS.KE0002" //nolint:gosec // G101: the name of an error
	codeSignature   = "APIGW.0301"
	codeNoSuchAPI   = "APIGW.0101"
)

// drsWords gives DRS's text for a code; %s stands for a name. Where DRS has
// published no Chinese text the wording is ours.
func drsWords(code string) probe.Words {
	switch code {
	case codeMalformed:
		return probe.Words{English: "Invalid request parameter.", Chinese: "请求参数非法"}
	case codeNoRoles:
		return probe.Words{English: "The user role is empty.", Chinese: "用户角色为空"}
	case codeNoRight:
		return probe.Words{English: "Insufficient user permissions.", Chinese: "用户权限不足"}
	case codeMissing:
		return probe.Words{English: "The parameter %s is empty.", Chinese: "%s 参数为空"}
	case codeInvalid:
		return probe.Words{English: "The value of parameter %s is invalid.", Chinese: "%s 取值不合法"}
	case codePage:
		return probe.Words{English: "The value of Page is invalid, %s", Chinese: "无效的Page值，%s"}
	case codePageLimit:
		return probe.Words{English: "The value of Page exceeds the upper limit, %s", Chinese: "Page超过上限，%s"}
	case codeProject:
		return probe.Words{English: "Invalid project ID.", Chinese: "无效的项目ID"}
	case codeTagTwice:
		return probe.Words{English: "The tag key must be unique, %s", Chinese: "标签键不能重复，%s"}
	case codeTagLong:
		return probe.Words{English: "The tag key or value exceeds the maximum length allowed, %s", Chinese: "标签键或值过长，%s"}
	case codeTagMany:
		return probe.Words{English: "The maximum number of tags has been reached, %s", Chinese: "标签数量已达上限，%s"}
	case codeCharacters:
		return probe.Words{English: "Invalid parameter. The parameter %s contains one of ! < > & ' \" \\", Chinese: "参数不合法，%s 包含以下字符之一：! < > & ' \" \\"}
	case codeNameTaken:
		return probe.Words{English: "The task name already exists.", Chinese: "任务名称已存在"}
	case codeJobNotFound:
		return probe.Words{English: "The task does not exist.", Chinese: "任务不存在"}
	case codeDuplicate:
		return probe.Words{English: "There are duplicate %s in request.", Chinese: "请求中存在重复的 %s"}
	case codeJobStatus:
		return probe.Words{English: "This API cannot be called in the current task status.", Chinese: "当前任务状态不允许调用此接口"}
	case codeOnlyChild:
		return probe.Words{English: "Only subtasks can invoke this interface.", Chinese: "仅子任务可以调用此接口"}
	case codeOnlyParent:
		return probe.Words{English: "Only parent tasks can invoke this interface.", Chinese: "仅父任务可以调用此接口"}
	case codeThrottled:
		return probe.Words{English: "Operation too frequent. Try again later.", Chinese: "操作过于频繁，请稍后重试"}
	case codeJobUnknown:
		return probe.Words{English: "Task information not found.", Chinese: "未找到任务信息"}
	case codeJobDeleted:
		return probe.Words{English: "The task has been deleted or the resource has been released.", Chinese: "任务已被删除或资源已被释放"}
	default:
		return probe.Words{English: "Service is abnormal. Check logs.", Chinese: "服务异常,需要查看日志"}
	}
}

// fill puts a name into a template.
func fill(w probe.Words, name string) probe.Words {
	return probe.Words{English: strings.ReplaceAll(w.English, "%s", name), Chinese: strings.ReplaceAll(w.Chinese, "%s", name)}
}

// verdictCodes gives each verdict the error_code of its result. Codes of the
// form DRS.DTnnnn are our own, since DRS has published none for these cases:
// the first digit is the phase, 81 the topology. DRS.KE0002 says that a server refused the
// credentials, and nothing else.
//
//nolint:gochecknoglobals // a constant table
var verdictCodes = map[probe.Code]string{
	probe.CodeJobUnknown:         codeJobUnknown,
	probe.CodeJobDeleted:         codeJobDeleted,
	probe.CodeJobWrongStatus:     codeJobStatus,
	probe.CodeJobForwardNotReady: codeJobStatus,
	probe.CodeJobIsParent:        codeOnlyChild,
	probe.CodeJobIsChild:         codeOnlyParent,
	probe.CodeCertInvalid:        codeInvalid,
	probe.CodeCertPassword:       codeInvalid,
	probe.CodeCertChecksum:       codeInvalid,
	probe.CodeCertNotBase64:      codeInvalid,
	probe.CodeCertEmpty:          codeInvalid,
	probe.CodeKeyMissing:         codeInvalid,
	probe.CodeKeyPassword:        codeInvalid,
	probe.CodeKeyMismatch:        codeInvalid,
	probe.CodeEngineUnsupported:  "DRS.DT1001",

	probe.CodeTargetNotAllowed: "DRS.DT2001",
	probe.CodeNoVantage:        "DRS.DT2002",

	probe.CodeDNSNotFound: "DRS.DT3001",
	probe.CodeDNSFailed:   "DRS.DT3002",

	probe.CodeConnectionRefused: "DRS.DT4001",
	probe.CodeHostUnreachable:   "DRS.DT4002",
	probe.CodeTimeoutConnect:    "DRS.DT4003",

	probe.CodeTLSRequired:           "DRS.DT5001",
	probe.CodeTLSNotSupported:       "DRS.DT5002",
	probe.CodeTLSUntrusted:          "DRS.DT5003",
	probe.CodeTLSExpired:            "DRS.DT5004",
	probe.CodeTLSNotYetValid:        "DRS.DT5005",
	probe.CodeTLSNameMismatch:       "DRS.DT5006",
	probe.CodeTLSVersion:            "DRS.DT5007",
	probe.CodeTLSHandshake:          "DRS.DT5008",
	probe.CodeTLSClientCertRejected: "DRS.DT5009",
	probe.CodeTimeoutTLS:            "DRS.DT5010",
	probe.CodeTLSClientCertRequired: "DRS.DT5011",
	probe.CodeTLSChainIncomplete:    "DRS.DT5012",
	probe.CodeTLSChainOrder:         "DRS.DT5013",
	probe.CodeTLSWeakSignature:      "DRS.DT5014",
	probe.CodeTLSWeakKey:            "DRS.DT5015",
	probe.CodeTLSNegativeSerial:     "DRS.DT5016",
	probe.CodeTLSCommonNameOnly:     "DRS.DT5017",
	probe.CodeTLSCipher:             "DRS.DT5018",

	probe.CodeTimeoutNoReply:      "DRS.DT6001",
	probe.CodeClosedNoReply:       "DRS.DT6002",
	probe.CodeProtocolMismatch:    "DRS.DT6003",
	probe.CodeVersionUnsupported:  "DRS.DT6004",
	probe.CodeHostNotAllowed:      "DRS.DT6005",
	probe.CodeHostNotAllowedOrTLS: "DRS.DT6006",
	probe.CodeTooManyConnections:  "DRS.DT6007",
	probe.CodeServerNotReady:      "DRS.DT6008",

	probe.CodeAuthFailed:        codeCredentials,
	probe.CodeAuthRequired:      "DRS.DT7001",
	probe.CodeAuthMechanism:     "DRS.DT7002",
	probe.CodeInsecureLogin:     "DRS.DT7003",
	probe.CodeAccountLocked:     "DRS.DT7004",
	probe.CodePasswordExpired:   "DRS.DT7005",
	probe.CodeKDCUnreachable:    "DRS.DT7007",
	probe.CodeKDCServiceUnknown: "DRS.DT7008",
	probe.CodeAuthNotEnabled:    "DRS.DT7009",
	probe.CodeTimeoutHandshake:  "DRS.DT7006",
	probe.CodeLoginSuppressed:   "DRS.DT7010",

	probe.CodeDatabaseUnknown:     "DRS.DT8001",
	probe.CodeDatabaseUnavailable: "DRS.DT8002",
	probe.CodePermissionDenied:    "DRS.DT8003",
	probe.CodeSIDNotService:       "DRS.DT8004",

	probe.CodeAdvertisedUnreachable: "DRS.DT8101",
	probe.CodeTopologyMismatch:      "DRS.DT8102",
	probe.CodeStandbyServer:         "DRS.DT8103",

	probe.CodeConnectionLost:   "DRS.DT9001",
	probe.CodePeerAbusive:      "DRS.DT9002",
	probe.CodeServerError:      "DRS.DT9003",
	probe.CodeDeadlineExceeded: "DRS.DT9101",
	probe.CodeInterrupted:      "DRS.DT9102",
	probe.CodeWorkerLost:       "DRS.DT9103",
	probe.CodeCancelled:        "DRS.DT9104",
	probe.CodeInternal:         "DRS.DT9199",
}

// drsCode is the error_code of a verdict; empty for ok.
func drsCode(c probe.Code) string {
	if c == probe.CodeOK {
		return ""
	}
	if sabotage.On(sabotage.AlwaysBadCredentials) {
		return codeCredentials
	}
	if code, ok := verdictCodes[c]; ok {
		return code
	}
	return verdictCodes[probe.CodeInternal]
}

// phaseWords names a phase.
func phaseWords(p probe.Phase) probe.Words {
	switch p {
	case probe.PhaseInput:
		return probe.Words{English: "input", Chinese: "输入检查"}
	case probe.PhasePolicy:
		return probe.Words{English: "policy", Chinese: "访问策略"}
	case probe.PhaseResolve:
		return probe.Words{English: "name resolution", Chinese: "域名解析"}
	case probe.PhaseConnect:
		return probe.Words{English: "TCP connection", Chinese: "TCP 连接"}
	case probe.PhaseTLS:
		return probe.Words{English: "TLS", Chinese: "TLS 加密"}
	case probe.PhaseProtocol:
		return probe.Words{English: "protocol", Chinese: "协议握手"}
	case probe.PhaseLogin:
		return probe.Words{English: "login", Chinese: "登录"}
	case probe.PhaseSession:
		return probe.Words{English: "session", Chinese: "会话"}
	case probe.PhaseTopology:
		return probe.Words{English: "topology", Chinese: "拓扑检查"}
	default:
		return probe.Words{}
	}
}
