package main

import (
	"cmp"
	"encoding/json"

	"dialtone/internal/api/client"
	"dialtone/internal/batch"
)

// connectionJob is an entry of the connection call. What is sent was checked by
// the rules of its call.
func connectionJob(e entry) client.TestEndPoint {
	x := e.Endpoints[0]
	given := client.TestEndPoint{
		ID: e.JobID, NetType: client.TestEndPointNetType(x.NetType), DBType: client.TestEndPointDBType(x.DBType),
		IP: x.IP, DBPort: x.DBPort, InstID: x.InstID, DBUser: x.User, DBPassword: x.Password.Reveal(),
		SslLink: x.SSLLink, SslCertKey: x.SSLCertKey.Reveal(), SslCertName: x.SSLCertName, SslCertCheckSum: x.SSLCertCheckSum,
		SslCertPassword: x.SSLCertPassword.Reveal(), VpcID: x.VpcID, SubnetID: x.SubnetID,
		EndPointType: client.TestEndPointEndPointType(cmp.Or(x.EndPointType, "so")),
		Region:       x.Region, ProjectID: x.ProjectID, DBName: x.DBName, KafkaSecurityConfig: kafkaConfig(x),
	}
	if x.DNS != nil {
		given.CustomizedDNS = client.CustomizedDNS{IsSetDNS: x.DNS.IsSet, SetDNSAction: client.CustomizedDNSSetDNSAction(x.DNS.Action), DNSIP: x.DNS.IP}
	}
	return given
}

func kafkaConfig(x batch.Endpoint) client.KafkaSecurity {
	if x.Kafka == nil {
		return client.KafkaSecurity{}
	}
	return client.KafkaSecurity{
		Type: client.KafkaSecurityType(x.Kafka.Protocol), SaslMechanism: client.KafkaSecuritySaslMechanism(x.Kafka.SASLMechanism),
		EndpointAlgorithm: x.Kafka.EndpointAlgorithm, DelegationTokens: x.Kafka.DelegationTokens,
		TrustStoreKeyName: x.Kafka.TrustStoreName, TrustStoreKey: x.Kafka.TrustStore.Reveal(), TrustStorePassword: x.Kafka.TrustStorePassword.Reveal(),
		EnableKeyStore: x.Kafka.EnableKeyStore, KeyStoreKeyName: x.Kafka.KeyStoreName, KeyStoreKey: x.Kafka.KeyStore.Reveal(),
		KeyStorePassword: x.Kafka.KeyStorePassword.Reveal(), SetPrivateKeyPassword: x.Kafka.SetPrivateKeyPassword, KeyPassword: x.Kafka.PrivateKeyPassword.Reveal(),
	}
}

// clusterJob is an entry of the cluster call.
func clusterJob(e entry) (client.ClusterJob, error) {
	objects := make([]client.ClusterEndpoint, len(e.Endpoints))
	for i, x := range e.Endpoints {
		objects[i] = client.ClusterEndpoint{
			Dbtype: x.DBType, Dbport: x.DBPort, Nettype: client.ClusterEndpointNettype(x.NetType), IP: x.IP,
			Endpointtype: client.ClusterEndpointEndpointtype(x.EndPointType), DBName: x.DBName, Instid: x.InstID,
			Dbuser: x.User, Dbpassword: x.Password.Reveal(),
			Ssllink: x.SSLLink, Sslcertkey: x.SSLCertKey.Reveal(), Sslcertname: x.SSLCertName, Sslcertchecksum: x.SSLCertCheckSum,
			Sslcertpassword: x.SSLCertPassword.Reveal(), VpcID: x.VpcID, SubnetID: x.SubnetID,
			Region: x.Region, ProjectID: x.ProjectID, KafkaSecurityConfig: kafkaConfig(x),
		}
	}
	text, err := json.Marshal(objects)
	return client.ClusterJob{Action: client.TestConnection, JobID: e.JobID, Property: string(text)}, err
}
