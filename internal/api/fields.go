package api

import (
	"strings"

	"dialtone/internal/batch"
)

// clusterField spells a field as the cluster call does.
func clusterField(f batch.Field, kafkaKey string) string {
	switch f {
	case batch.FieldNetType:
		return "nettype"
	case batch.FieldDBType:
		return "dbtype"
	case batch.FieldDBPort:
		return "dbport"
	case batch.FieldUser:
		return "dbuser"
	case batch.FieldPassword:
		return "dbpassword"
	case batch.FieldSSLCertKey:
		return "sslcertkey"
	case batch.FieldSSLCertName:
		return "sslcertname"
	case batch.FieldSSLCertCheckSum:
		return "sslcertchecksum"
	case batch.FieldVpcID:
		return "vpcId"
	case batch.FieldEndPointType:
		return "endpointtype"
	case batch.FieldDBName:
		return "dbName"
	default:
		if inner, ok := strings.CutPrefix(string(f), kafkaSnake+"."); ok {
			return kafkaKey + "." + inner
		}
		return string(f)
	}
}

// respell names the Kafka key as the caller wrote it.
func respell(path, root string) string {
	rest, ok := strings.CutPrefix(path, root+"."+kafkaCamel)
	if !ok {
		return path
	}
	return root + "." + kafkaSnake + rest
}
