package probe

// verdicts is the table of all codes.
func verdicts() map[Code]Verdict { return table }

//nolint:gochecknoglobals // a constant table
var table = byCode(inputVerdicts, policyVerdicts, connectVerdicts, tlsVerdicts, protocolVerdicts, loginVerdicts, sessionVerdicts, topologyVerdicts, anywhereVerdicts)

func byCode(groups ...[]Verdict) map[Code]Verdict {
	all := map[Code]Verdict{}
	for _, group := range groups {
		for _, v := range group {
			all[v.Code] = v
		}
	}
	return all
}

//nolint:gochecknoglobals // a constant table
var inputVerdicts = []Verdict{
	{
		Code: CodeJobUnknown, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"There is no job with this id in the project.", "项目中不存在该 ID 的任务。"},
		Remedy:  Words{"Check the id, or create the job first and wait until its status is CONFIGURATION.", "请检查任务 ID，或先创建任务，待其状态变为 CONFIGURATION 后再测试。"},
	},
	{
		Code: CodeJobDeleted, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The job has been deleted.", "该任务已被删除。"},
		Remedy:  Words{"Create a new job and test with its id.", "请新建任务，并使用新任务的 ID 进行测试。"},
	},
	{
		Code: CodeJobWrongStatus, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The job is in a status in which connections cannot be tested.", "任务当前的状态不允许测试连接。"},
		Remedy:  Words{"Test while the job is being configured (status CONFIGURATION). If it is still being created, wait and try again.", "请在任务处于配置阶段（状态为 CONFIGURATION）时测试；若任务仍在创建中，请稍后重试。"},
	},
	{
		Code: CodeJobIsParent, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The id is that of a parent job, which has no connection of its own.", "该 ID 属于父任务，父任务自身没有可测试的连接。"},
		Remedy:  Words{"Test with the ids of its child jobs.", "请使用其子任务的 ID 进行测试。"},
	},
	{
		Code: CodeJobIsChild, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The id is that of a child job; a cluster is tested through its parent job.", "该 ID 属于子任务；集群连接须通过父任务进行测试。"},
		Remedy:  Words{"Test with the id of the parent job.", "请使用父任务的 ID 进行测试。"},
	},
	{
		Code: CodeJobForwardNotReady, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The backward job of a dual-active pair cannot be tested before the forward job is in incremental transfer.", "双主灾备中，正向任务进入增量传输之前，不能测试反向任务。"},
		Remedy:  Words{"Start the forward job and wait for the status INCRE_TRANSFER_STARTED.", "请启动正向任务，并等待其状态变为 INCRE_TRANSFER_STARTED。"},
	},
	{
		Code: CodeEngineUnsupported, Phase: PhaseInput, Owner: OwnerService,
		Meaning: Words{"This service cannot test databases of this type.", "本服务暂不支持测试该类型的数据库。"},
		Remedy:  Words{"Test this endpoint by other means. A newer version of the service may know the type.", "请使用其他方式测试该连接；新版本的服务可能会支持此类型。"},
	},
	{
		Code: CodeCertInvalid, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"A certificate or store that was uploaded cannot be used: it is in no known format (PEM, DER, PKCS#12, JKS, JCEKS), damaged, too large or too much work to open.", "上传的证书或密钥库无法使用：格式未知（支持 PEM、DER、PKCS#12、JKS、JCEKS），或已损坏、过大、打开所需计算量过大。"},
		Remedy:  Words{"Export it again and upload it unchanged, in Base64. The facts certificate_field and certificate_fault say which one it is and what is wrong with it.", "请重新导出，经 Base64 编码后原样上传。证据中的 certificate_field 和 certificate_fault 说明是哪个文件及其问题。"},
	},
	{
		Code: CodeCertPassword, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The password does not open the uploaded certificate store (PKCS#12, JKS or JCEKS), or the store is damaged.", "密码无法打开上传的证书库（PKCS#12、JKS 或 JCEKS），或证书库已损坏。"},
		Remedy:  Words{"Give the password with which the store was made: ssl_cert_password; for Kafka trust_store_password or key_store_password. A CA certificate in PEM needs none.", "请填写创建该证书库时设置的密码：ssl_cert_password；Kafka 为 trust_store_password 或 key_store_password。PEM 格式的 CA 证书无需密码。"},
	},
	{
		Code: CodeCertChecksum, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The SHA-256 checksum does not belong to the uploaded certificate: one of the two is damaged, of another file, or computed by another algorithm.", "SHA-256 校验值与上传的证书不符：二者之一已损坏、属于其他文件，或使用了其他算法计算。"},
		Remedy:  Words{"Compute the SHA-256 of the certificate file and send it in hexadecimal with the same file. The facts checksum_of_content and checksum_of_base64 are the values that would fit; checksum_algorithm names MD5 or another if the length is of that.", "请计算证书文件的 SHA-256，以十六进制填写并上传同一文件。证据中的 checksum_of_content 和 checksum_of_base64 是相符的值；若长度属于 MD5 等算法，见 checksum_algorithm。"},
	},
	{
		Code: CodeCertNotBase64, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The uploaded certificate or store is neither Base64 nor PEM.", "上传的证书或密钥库既不是 Base64 也不是 PEM。"},
		Remedy:  Words{"Encode the whole file in Base64 (base64 -w0 FILE) and send that text, not the file's name or path.", "请将整个文件以 Base64 编码（base64 -w0 文件名）后发送，不要填写文件名或路径。"},
	},
	{
		Code: CodeCertEmpty, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"There is no certificate in what was uploaded: it is empty, or holds other things only.", "上传的内容中没有证书：内容为空，或只包含其他数据。"},
		Remedy:  Words{"Upload the CA certificate of the database itself. From a Java key store, export a trusted entry: keytool -list shows what is in it.", "请上传数据库的 CA 证书。若使用 Java 密钥库，请先用 keytool -list 查看其中是否有受信任的条目。"},
	},
	{
		Code: CodeKeyMissing, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The uploaded key store holds no private key; it may be the trust store.", "上传的密钥库中没有私钥，可能误传了信任库。"},
		Remedy:  Words{"Upload the key store with the client's certificate and key (key_store_key). keytool -list shows PrivateKeyEntry for it.", "请上传包含客户端证书和私钥的密钥库（key_store_key）；用 keytool -list 查看时应显示 PrivateKeyEntry。"},
	},
	{
		Code: CodeKeyPassword, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The key store opens, but not the private key in it: that has another password.", "密钥库可以打开，但其中的私钥无法打开：私钥使用了不同的密码。"},
		Remedy:  Words{"Give the password of the private key (set_private_key_password with key_password), or make a store in which both are the same.", "请填写私钥的密码（set_private_key_password 与 key_password），或重新创建两个密码相同的密钥库。"},
	},
	{
		Code: CodeKeyMismatch, Phase: PhaseInput, Owner: OwnerCaller,
		Meaning: Words{"The private key belongs to none of the certificates that were uploaded with it.", "私钥与一同上传的任何证书都不匹配。"},
		Remedy:  Words{"Put the key and the certificate that was issued for it into one store. A certificate that was renewed with a new key needs that key.", "请将私钥与为其签发的证书放入同一密钥库；若证书更新时更换了密钥，须使用新密钥。"},
	},
}

//nolint:gochecknoglobals // a constant table
var policyVerdicts = []Verdict{
	{
		Code: CodeTargetNotAllowed, Phase: PhasePolicy, Owner: OwnerSecurity,
		Meaning: Words{"The policy of this service does not allow connections to this address. Nothing was sent to it.", "本服务的访问策略不允许连接该地址，未向其发送任何数据。"},
		Remedy:  Words{"Check the address and port. If they are right, ask the operator of this service to allow them for your project and network type.", "请检查地址和端口；若确认无误，请联系本服务的运维人员，为您的项目及网络类型放行该地址。"},
	},
	{
		Code: CodeNoVantage, Phase: PhasePolicy, Owner: OwnerService,
		Meaning: Words{"No worker of this service stands in the network from which the test was to be made.", "本服务在所要求的测试网络中没有可用的测试节点。"},
		Remedy:  Words{"Choose another network type, or ask the operator of this service for a worker in that network.", "请更换网络类型，或联系本服务的运维人员在该网络中部署测试节点。"},
	},
	{
		Code: CodeDNSNotFound, Phase: PhaseResolve, Owner: OwnerCaller,
		Meaning: Words{"The DNS server answered that the host name does not exist or has no address.", "DNS 服务器答复：该主机名不存在，或没有对应的地址。"},
		Remedy:  Words{"Correct the host name, use the IP address instead, or name a DNS server that knows the name (customized_dns).", "请更正主机名，或改用 IP 地址，或指定能够解析该名称的 DNS 服务器（customized_dns）。"},
	},
	{
		Code: CodeDNSFailed, Phase: PhaseResolve, Owner: OwnerNetwork, Retry: true,
		Meaning: Words{"The host name could not be looked up: the DNS server did not answer or answered with an error.", "无法解析主机名：DNS 服务器未响应或返回错误。"},
		Remedy:  Words{"Check that the DNS server works and can be reached from the test network on port 53, or use the IP address.", "请确认 DNS 服务器工作正常，且可从测试网络访问其 53 端口；或改用 IP 地址。"},
	},
}

//nolint:gochecknoglobals // a constant table
var connectVerdicts = []Verdict{
	{
		Code: CodeConnectionRefused, Phase: PhaseConnect, Owner: OwnerDBA, Retry: true,
		Meaning: Words{"The host answered, but nothing accepts connections on this port, or a firewall rejects them.", "主机有响应，但该端口没有服务在监听，或连接被防火墙拒绝。"},
		Remedy:  Words{"Check the port; check that the database runs and listens on this address and not only on localhost (bind-address in MySQL, listen_addresses in PostgreSQL).", "请检查端口；确认数据库已启动，并监听该地址而非仅监听 localhost（MySQL 的 bind-address，PostgreSQL 的 listen_addresses）。"},
	},
	{
		Code: CodeHostUnreachable, Phase: PhaseConnect, Owner: OwnerNetwork, Retry: true,
		Meaning: Words{"There is no route from the test network to this address, or a router or firewall on the way said that it cannot be reached.", "测试网络到该地址没有可用路由，或途中的路由器、防火墙报告地址不可达。"},
		Remedy:  Words{"Check the address, the routes, and the VPN or VPC peering between the two networks; their address ranges must not overlap.", "请检查地址、路由以及两个网络之间的 VPN 或 VPC 对等连接，两端网段不得重叠。"},
	},
	{
		Code: CodeTimeoutConnect, Phase: PhaseConnect, Owner: OwnerNetwork, Retry: true,
		Meaning: Words{"The TCP connection was not answered in time. Usually a firewall, security group or network ACL drops the packets, or the host is down.", "TCP 连接请求超时未获响应，通常是防火墙、安全组或网络 ACL 丢弃了报文，或主机未运行。"},
		Remedy:  Words{"Allow the addresses of the test nodes to this port in the security group, network ACL and host firewall, and check that the host is up.", "请在安全组、网络 ACL 和主机防火墙中放行测试节点到该端口的访问，并确认主机正在运行。"},
	},
}

//nolint:gochecknoglobals // a constant table
var tlsVerdicts = []Verdict{
	{
		Code: CodeTLSRequired, Phase: PhaseTLS, Owner: OwnerCaller,
		Meaning: Words{"The server accepts encrypted connections only, and the test was made without TLS.", "服务器只接受加密连接，而本次测试未启用 TLS。"},
		Remedy:  Words{"Switch SSL on for this endpoint (ssl_link; for Kafka type SSL or SASL_SSL) and upload the CA certificate of the server.", "请为该连接启用 SSL（ssl_link；Kafka 为安全协议 SSL 或 SASL_SSL），并上传服务器的 CA 证书。"},
	},
	{
		Code: CodeTLSNotSupported, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"TLS was asked for, but the server does not offer it.", "请求了 TLS 加密，但服务器未启用 TLS。"},
		Remedy:  Words{"Enable TLS on the server (ssl = on in PostgreSQL, ssl_cert and ssl_key in MySQL, a listener with SSL or SASL_SSL in Kafka), or switch SSL off for this endpoint if the network is trusted.", "请在服务器上启用 TLS（PostgreSQL 设置 ssl = on，MySQL 配置 ssl_cert 与 ssl_key，Kafka 配置 SSL 或 SASL_SSL 监听器）；若网络可信，也可关闭该连接的 SSL。"},
	},
	{
		Code: CodeTLSUntrusted, Phase: PhaseTLS, Owner: OwnerCaller,
		Meaning: Words{"The server's certificate was not issued by the uploaded CA certificate (without one: by no authority that the system trusts). No credentials were sent.", "服务器证书并非由上传的 CA 证书签发（未上传时：并非由系统信任的机构签发）。未发送任何账号信息。"},
		Remedy:  Words{"Upload the CA certificate that signed the server's, with intermediate ones; the evidence names the issuer wanted. If it is the right one, find out who answers at this address.", "请上传签发服务器证书的 CA 证书及中间证书，证据中给出了所需的签发者；若证书无误，请核实该地址上实际应答的是谁。"},
	},
	{
		Code: CodeTLSChainIncomplete, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The server sends its own certificate without that of its issuer, and the issuer is not among the trusted ones. No credentials were sent.", "服务器只发送了自身证书，未发送其签发者的证书，且该签发者不在受信任的证书中。未发送任何账号信息。"},
		Remedy:  Words{"Append the intermediate certificates to the server's certificate file, its own first. Or add the issuer that the evidence names to the uploaded CA certificate.", "请将中间证书依次追加到服务器证书文件中，服务器证书在前；或将证据中给出的签发者证书加入上传的 CA 证书。"},
	},
	{
		Code: CodeTLSChainOrder, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The server sends the certificates of its chain in the wrong order. Some clients refuse that.", "服务器发送的证书链顺序错误，部分客户端会因此拒绝连接。"},
		Remedy:  Words{"Put them in order in the server's certificate file: its own first, then its issuer's, and so on.", "请调整服务器证书文件中的顺序：服务器证书在前，随后依次为其签发者的证书。"},
	},
	{
		Code: CodeTLSWeakSignature, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"A certificate of the server's chain is signed with SHA-1 or MD5, which current clients refuse. No credentials were sent.", "服务器证书链中有证书使用 SHA-1 或 MD5 签名，当前的客户端均会拒绝。未发送任何账号信息。"},
		Remedy:  Words{"Have the certificate that the evidence names issued again with SHA-256.", "请使用 SHA-256 重新签发证据中给出的证书。"},
	},
	{
		Code: CodeTLSWeakKey, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"A certificate of the server's chain has an RSA key of less than 2048 bits. Some clients refuse that; below 1024 bits all do.", "服务器证书链中有证书的 RSA 密钥小于 2048 位，部分客户端会拒绝；小于 1024 位时所有客户端均会拒绝。"},
		Remedy:  Words{"Have the certificate that the evidence names issued again for a key of 2048 bits or more.", "请使用 2048 位及以上的密钥重新签发证据中给出的证书。"},
	},
	{
		Code: CodeTLSNegativeSerial, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The server's certificate has a negative serial number, which the standard forbids; clients written in Go refuse it. SQL Server up to 2017 often makes itself such a one.", "服务器证书的序列号为负数，违反标准，使用 Go 编写的客户端会拒绝。SQL Server 2017 及更早版本自动生成的证书常有此问题。"},
		Remedy:  Words{"Give the server a certificate of your own. A restart of SQL Server makes a new one, which may be sound.", "请为服务器配置自行签发的证书；重启 SQL Server 会重新生成证书，新证书可能正常。"},
	},
	{
		Code: CodeTLSExpired, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The server's certificate, or one of its issuers', has expired. No credentials were sent.", "服务器证书或其签发者的证书已过期。未发送任何账号信息。"},
		Remedy:  Words{"Renew the certificate on the database server and reload or restart the server.", "请在数据库服务器上更新证书，并重新加载或重启服务。"},
	},
	{
		Code: CodeTLSNotYetValid, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The server's certificate is not valid yet. No credentials were sent.", "服务器证书尚未生效。未发送任何账号信息。"},
		Remedy:  Words{"Check the start date of the certificate and the clocks of the database server and of the machine that issued it.", "请检查证书的生效日期，以及数据库服务器和签发机器的时钟。"},
	},
	{
		Code: CodeTLSNameMismatch, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The server's certificate is trusted, but was issued for another name than the one connected to.", "服务器证书可信，但其签发的名称与所连接的名称不一致。"},
		Remedy:  Words{"Connect by a name that the certificate lists, or issue one that lists this host name or IP address as subject alternative name; the common name alone does not count.", "请使用证书中列出的名称连接，或重新签发证书，在使用者可选名称（SAN）中包含该主机名或 IP 地址；仅有通用名（CN）无效。"},
	},
	{
		Code: CodeTLSCommonNameOnly, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The server's certificate is trusted and has the right name, but only as common name, which clients no longer look at.", "服务器证书可信且名称正确，但仅写在通用名（CN）中，而客户端已不再检查通用名。"},
		Remedy:  Words{"Issue a certificate that lists the host name or IP address as subject alternative name.", "请重新签发证书，在使用者可选名称（SAN）中包含该主机名或 IP 地址。"},
	},
	{
		Code: CodeTLSVersion, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The server and this service have no TLS version in common; this service speaks TLS 1.2 and 1.3.", "服务器与本服务没有共同支持的 TLS 版本；本服务支持 TLS 1.2 和 1.3。"},
		Remedy:  Words{"Enable TLS 1.2 or 1.3 on the server (tls_version in MySQL, ssl_min_protocol_version and ssl_max_protocol_version in PostgreSQL).", "请在服务器上启用 TLS 1.2 或 1.3（MySQL 的 tls_version，PostgreSQL 的 ssl_min_protocol_version 和 ssl_max_protocol_version）。"},
	},
	{
		Code: CodeTLSCipher, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The server and this service have no cipher suite in common. Usually the server knows only RSA key exchange, Triple DES or RC4.", "服务器与本服务没有共同支持的加密套件，通常是服务器仅支持 RSA 密钥交换、3DES 或 RC4。"},
		Remedy:  Words{"Enable suites with ECDHE and AES-GCM or ChaCha20 on the server (ssl_cipher in MySQL, ssl_ciphers in PostgreSQL), or TLS 1.3.", "请在服务器上启用 ECDHE 与 AES-GCM 或 ChaCha20 的加密套件（MySQL 的 ssl_cipher，PostgreSQL 的 ssl_ciphers），或启用 TLS 1.3。"},
	},
	{
		Code: CodeTLSHandshake, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The TLS handshake failed, or what answers at this port does not speak TLS.", "TLS 握手失败，或该端口上的服务并不使用 TLS。"},
		Remedy:  Words{"Check that the port speaks TLS; look for the reason in the log of the database server; check its certificate, key and cipher settings.", "请确认该端口支持 TLS；查看数据库服务器日志中的原因，并检查其证书、私钥和加密套件配置。"},
	},
	{
		Code: CodeTLSClientCertRejected, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The server refused the client certificate that was shown to it.", "服务器拒绝了所出示的客户端证书。"},
		Remedy:  Words{"Check that the server trusts the authority that issued it, that it has not expired or been revoked, is for client authentication, and is the one of this account.", "请确认服务器信任签发该证书的机构，证书未过期或被吊销、可用于客户端认证，且属于该账号。"},
	},
	{
		Code: CodeTLSClientCertRequired, Phase: PhaseTLS, Owner: OwnerCaller,
		Meaning: Words{"The server demands a client certificate, and none was given.", "服务器要求客户端证书，但未提供。"},
		Remedy:  Words{"Give one with its key: for Kafka enable_key_store with key_store_key, else a PKCS#12 as ssl_cert_key. Or let the account log in with a password alone: drop REQUIRE X509 (MySQL), or the cert method and clientcert in pg_hba.conf (PostgreSQL).", "请提供客户端证书及私钥：Kafka 启用 enable_key_store 并上传 key_store_key，其他类型以 PKCS#12 作为 ssl_cert_key。或允许仅凭密码登录：取消 REQUIRE X509（MySQL），或 pg_hba.conf 中的 cert 方式及 clientcert 选项（PostgreSQL）。"},
	},
	{
		Code: CodeTimeoutTLS, Phase: PhaseTLS, Owner: OwnerDBA,
		Meaning: Words{"The TLS handshake began, but the other side did not finish it in time.", "TLS 握手已开始，但对端未在规定时间内完成。"},
		Remedy:  Words{"Check the load of the server, and any proxy or firewall on the way that inspects TLS; a path MTU that is too small also looks like this.", "请检查服务器负载，以及途中会检查 TLS 的代理或防火墙；路径 MTU 过小也会有此现象。"},
	},
}

//nolint:gochecknoglobals // a constant table
var protocolVerdicts = []Verdict{
	{
		Code: CodeTimeoutNoReply, Phase: PhaseProtocol, Owner: OwnerDBA,
		Meaning: Words{"The connection was accepted, but the other side stayed silent. The server hangs, or it is not a database of this type.", "连接已建立，但对端一直没有响应：服务器可能已挂起，或并非该类型的数据库。"},
		Remedy:  Words{"Check that the port belongs to a database of this type and that SSL is set as the server expects; then check whether the server hangs or a proxy on the way has no server behind it.", "请确认该端口属于此类型的数据库，且 SSL 设置与服务器一致；再检查服务器是否挂起，或途中的代理后端是否无可用服务器。"},
	},
	{
		Code: CodeClosedNoReply, Phase: PhaseProtocol, Owner: OwnerDBA,
		Meaning: Words{"The connection was accepted and closed at once, without an answer. Usual reasons: an address filter, a port that speaks TLS only, or another product.", "连接建立后即被对端关闭，没有任何响应。常见原因：地址过滤、端口仅支持 TLS，或并非该数据库。"},
		Remedy:  Words{"Check the port, whether it demands TLS, and whether the server, a proxy or a load balancer lets the test nodes in; the server's log may say why. MongoDB also closes without a word when all its connections are taken.", "请检查端口是否正确、是否要求 TLS，以及服务器、代理或负载均衡是否放行测试节点；服务器日志可能记录了原因。MongoDB 连接数用尽时也会不作响应直接关闭连接。"},
	},
	{
		Code: CodeProtocolMismatch, Phase: PhaseProtocol, Owner: OwnerCaller,
		Meaning: Words{"What answers at this port is not a database of this type.", "该端口上应答的并不是此类型的数据库。"},
		Remedy:  Words{"Correct the port or the database type (db_type). The evidence names the product that the answer looks like, if it was recognised.", "请更正端口或数据库类型（db_type）。若能识别，测试证据中会给出疑似的产品名称。"},
	},
	{
		Code: CodeVersionUnsupported, Phase: PhaseProtocol, Owner: OwnerDBA,
		Meaning: Words{"The server speaks a version of the protocol that this service does not know, or refuses a feature that it needs.", "服务器使用的协议版本不受本服务支持，或服务器拒绝了所需的协议功能。"},
		Remedy:  Words{"Check the version of the database against the list of supported versions, and upgrade it if it is too old.", "请对照支持的版本列表检查数据库版本，版本过旧时请升级。"},
	},
	{
		Code: CodeHostNotAllowed, Phase: PhaseProtocol, Owner: OwnerDBA,
		Meaning: Words{"The server does not let this account or any account in from the address of the test node. The credentials were not checked.", "服务器不允许该账号或任何账号从测试节点的地址连接。账号密码未经校验。"},
		Remedy:  Words{"PostgreSQL: add a line for this user, database and exactly the test nodes' addresses to pg_hba.conf and reload. MySQL: CREATE USER 'user'@'address of the test node' and grant it; after too many failures, FLUSH HOSTS. GaussDB: pg_hba.conf with sha256, not trust; never the initial user. Redis in protected mode: set a password, or bind and protected-mode.", "PostgreSQL：在 pg_hba.conf 中为该用户、数据库和测试节点的具体地址添加一行并重新加载。MySQL：执行 CREATE USER '用户'@'测试节点地址' 并授权；若因失败过多被封锁，请执行 FLUSH HOSTS。GaussDB：同样修改 pg_hba.conf，认证方式使用 sha256 而非 trust；初始用户不允许远程登录。Redis 处于保护模式时：请设置密码，或调整 bind 与 protected-mode。"},
	},
	{
		Code: CodeHostNotAllowedOrTLS, Phase: PhaseProtocol, Owner: OwnerDBA,
		Meaning: Words{"PostgreSQL has no line in pg_hba.conf that lets this user in from this address without encryption. It does not say whether TLS would help. The credentials were not checked.", "PostgreSQL 的 pg_hba.conf 中没有允许该用户从此地址以非加密方式连接的配置，且未说明启用 TLS 是否可行。账号密码未经校验。"},
		Remedy:  Words{"First switch SSL on for this endpoint (ssl_link) and test again. If it is refused then too, add a line for this user, database and exactly the test nodes' addresses to pg_hba.conf and reload.", "请先为该连接启用 SSL（ssl_link）并重新测试；若仍被拒绝，请在 pg_hba.conf 中为该用户、数据库和测试节点的具体地址添加一行并重新加载。"},
	},
	{
		Code: CodeTooManyConnections, Phase: PhaseProtocol, Owner: OwnerDBA, Retry: true,
		Meaning: Words{"The server has reached its limit of connections, in all or for this account or database.", "服务器的连接数已达上限（总数，或该账号、该数据库的上限）。"},
		Remedy:  Words{"Close idle connections or raise the limit: max_connections or max_user_connections in MySQL; max_connections, ALTER ROLE or ALTER DATABASE ... CONNECTION LIMIT in PostgreSQL; maxclients in Redis; processes, sessions or SESSIONS_PER_USER in Oracle.", "请关闭空闲连接或调高上限：MySQL 的 max_connections、max_user_connections；PostgreSQL 的 max_connections，或 ALTER ROLE、ALTER DATABASE ... CONNECTION LIMIT；Redis 的 maxclients；Oracle 的 processes、sessions 或 SESSIONS_PER_USER。"},
	},
	{
		Code: CodeServerNotReady, Phase: PhaseProtocol, Owner: OwnerDBA, Retry: true,
		Meaning: Words{"The server is starting, shutting down, recovering or offline, and accepts no logins now.", "服务器正在启动、关闭、恢复或处于离线模式，暂不接受登录。"},
		Remedy:  Words{"Wait until the server is up and test again. If it stays so, look into its log.", "请等待服务器就绪后重新测试；若一直如此，请查看服务器日志。"},
	},
}

//nolint:gochecknoglobals // a constant table
var loginVerdicts = []Verdict{
	{
		Code: CodeAuthFailed, Phase: PhaseLogin, Owner: OwnerCaller,
		Meaning: Words{"The server refused the user name or the password.", "服务器拒绝了用户名或密码。"},
		Remedy:  Words{"Check both; they are case-sensitive. In MySQL the account must exist for the address of the test node ('user'@'host'), and an account with REQUIRE SSL is refused in the same words without TLS. In PostgreSQL an expired password (VALID UNTIL) looks the same. In MongoDB the database named must be the one that holds the account.", "请检查用户名和密码（区分大小写）。MySQL 中账号须对测试节点的地址有效（'用户'@'主机'），且设有 REQUIRE SSL 的账号在未启用 TLS 时报错相同；PostgreSQL 中密码过期（VALID UNTIL）的表现也相同；MongoDB 中须填写账号所在的认证数据库。"},
	},
	{
		Code: CodeAuthRequired, Phase: PhaseLogin, Owner: OwnerCaller,
		Meaning: Words{"The server demands a login, and no user name or password was given.", "服务器要求登录，但未提供用户名或密码。"},
		Remedy:  Words{"Give the user name and the password of an account on this database; for Kafka also a type with SASL and the mechanism.", "请填写该数据库账号的用户名和密码；Kafka 还须选择 SASL 安全协议及认证机制。"},
	},
	{
		Code: CodeAuthMechanism, Phase: PhaseLogin, Owner: OwnerDBA,
		Meaning: Words{"Server and test have no way of login in common: a method or an encryption of it that only one of them has.", "服务器与本次测试没有共同的登录方式：一方要求的认证方式或登录加密，另一方不支持或未启用。"},
		Remedy:  Words{"Give the account a common method: caching_sha2_password or mysql_native_password in MySQL; scram-sha-256 or md5 in pg_hba.conf of PostgreSQL, sha256 of GaussDB; a SQL login in SQL Server (mixed authentication); in Kafka one of sasl.enabled.mechanisms; in Oracle a new password (11G or 12C), TCPS for native encryption. Redis before 6 knows no users: leave the user name out. The evidence names the method.", "请将账号改为常用的认证方式：MySQL 使用 caching_sha2_password 或 mysql_native_password；PostgreSQL 在 pg_hba.conf 中使用 scram-sha-256 或 md5，GaussDB 使用 sha256 或 sm3；SQL Server 使用 SQL 登录名，并启用混合身份验证模式；Kafka 选择 sasl.enabled.mechanisms 中的机制；Oracle 请重新设置密码（11G 或 12C 验证器），并以 TCPS 代替网络原生加密。Redis 6 之前没有用户，请不要填写用户名。测试证据中会给出该认证方式。"},
	},
	{
		Code: CodeInsecureLogin, Phase: PhaseLogin, Owner: OwnerCaller,
		Meaning: Words{"The server asked for the password in a form that whoever listens or answers can read, and the connection is not encrypted with a verified certificate. The password was not sent.", "服务器要求以可被窃听者或应答方还原的形式发送密码，而连接未使用经过验证的证书加密。密码未发送。"},
		Remedy:  Words{"Switch SSL on for this endpoint (ssl_link) and upload the CA certificate. Or give the account a method that never reveals the password, such as scram-sha-256 in PostgreSQL or SCRAM-SHA-256 in Kafka. Redis has no such method: without SSL, the operator of this service has to permit it (DIALTONE_ALLOW_RECOVERABLE_PASSWORD).", "请为该连接启用 SSL（ssl_link）并上传 CA 证书；或让账号改用不会暴露密码的认证方式，例如 PostgreSQL 的 scram-sha-256 或 Kafka 的 SCRAM-SHA-256。Redis 没有此类方式：若不使用 SSL，须由本服务的运维人员放行（DIALTONE_ALLOW_RECOVERABLE_PASSWORD）。"},
	},
	{
		Code: CodeAuthNotEnabled, Phase: PhaseLogin, Owner: OwnerCaller,
		Meaning: Words{"A password was given, but this server has none: it lets everybody in and refuses a login with a password, and so most clients will fail.", "已提供密码，但该服务器未设置密码：任何人都可访问，且服务器拒绝带密码的登录，大多数客户端会因此连接失败。"},
		Remedy:  Words{"Check that this is the server that you mean. Then leave the password out, or have one set (requirepass or ACL SETUSER in Redis).", "请确认这是要连接的服务器；然后去掉密码，或在服务器上设置密码（Redis 的 requirepass 或 ACL SETUSER）。"},
	},
	{
		Code: CodeAccountLocked, Phase: PhaseLogin, Owner: OwnerDBA,
		Meaning: Words{"The account exists but is locked or may not log in.", "账号存在，但已被锁定或不允许登录。"},
		Remedy:  Words{"Unlock it: ALTER USER ... ACCOUNT UNLOCK in MySQL, Oracle and GaussDB, ALTER ROLE ... LOGIN in PostgreSQL, ALTER LOGIN ... ENABLE or WITH PASSWORD = ... UNLOCK in SQL Server, modprinc -unlock or +allow_tix in Kerberos. Find out first why it was locked.", "请解除锁定：MySQL、Oracle 和 GaussDB 执行 ALTER USER ... ACCOUNT UNLOCK，PostgreSQL 执行 ALTER ROLE ... LOGIN，SQL Server 执行 ALTER LOGIN ... ENABLE 或 WITH PASSWORD = ... UNLOCK，Kerberos 执行 modprinc -unlock 或 +allow_tix；解除前请先查明锁定原因。"},
	},
	{
		Code: CodePasswordExpired, Phase: PhaseLogin, Owner: OwnerDBA,
		Meaning: Words{"The password of the account has expired and must be changed before the account can be used.", "账号密码已过期，修改密码之前无法使用该账号。"},
		Remedy:  Words{"Set a new password (ALTER USER ... IDENTIFIED BY ... in MySQL and Oracle, ALTER LOGIN ... WITH PASSWORD in SQL Server) and test with it.", "请设置新密码（MySQL 和 Oracle 执行 ALTER USER ... IDENTIFIED BY ...，SQL Server 执行 ALTER LOGIN ... WITH PASSWORD），并用新密码重新测试。"},
	},
	{
		Code: CodeKDCUnreachable, Phase: PhaseLogin, Owner: OwnerNetwork,
		Meaning: Words{"The Kerberos key distribution centre (KDC) could not be reached, so no ticket could be had. The database was not asked to log in.", "无法连接 Kerberos 密钥分发中心（KDC），未能取得票据；未向数据库发起登录。"},
		Remedy:  Words{"Check the address of the KDC in the configuration of this service, and that the test network may reach it over TCP (port 88).", "请检查本服务配置中的 KDC 地址，并确认测试网络可通过 TCP（88 端口）访问该 KDC。"},
	},
	{
		Code: CodeKDCServiceUnknown, Phase: PhaseLogin, Owner: OwnerDBA,
		Meaning: Words{"The Kerberos KDC knows no service under the name by which the database was called.", "Kerberos KDC 中不存在与该数据库名称对应的服务主体。"},
		Remedy:  Words{"Create the service principal for exactly this host name (for Kafka kafka/<host>@<REALM>), or call the database by the name that its principal has.", "请为该主机名创建对应的服务主体（Kafka 为 kafka/<host>@<REALM>），或使用其主体所含的主机名访问数据库。"},
	},
	{
		Code: CodeLoginSuppressed, Phase: PhaseLogin, Owner: OwnerCaller,
		Meaning: Words{"No login was sent, because this account was refused here a short time ago: the same password again, or too many refusals, might lock it.", "未发送登录请求：该账号不久前在此被拒绝登录；再次使用同一密码或拒绝次数过多，可能导致账号被锁定。"},
		Remedy:  Words{"Correct user and password by the earlier reason in the evidence (earlier_reason), and test again after the time that it names (retry_at).", "请根据证据中的先前原因（earlier_reason）更正用户名和密码，并在所示时间（retry_at）之后重新测试。"},
	},
}

//nolint:gochecknoglobals // a constant table
var sessionVerdicts = []Verdict{
	{
		Code: CodeDatabaseUnknown, Phase: PhaseSession, Owner: OwnerCaller,
		Meaning: Words{"There is no database of this name; in Oracle, no service that the listener knows.", "不存在该名称的数据库；对于 Oracle，则是监听程序中不存在该服务。"},
		Remedy:  Words{"Correct the database name (db_name), or create the database. Without a name PostgreSQL is asked for the database postgres. SQL Server says the same when the account has no user in the database: CREATE USER ... FOR LOGIN ... there. In Redis it is a number, 0 in a cluster. In Oracle, lsnrctl services lists them.", "请更正数据库名称（db_name），或创建该数据库；未填写名称时，PostgreSQL 默认连接 postgres 数据库。若账号在该数据库中没有对应用户，SQL Server 也会如此答复：请在该库中执行 CREATE USER ... FOR LOGIN ...。Redis 的数据库为编号，集群中只能为 0。Oracle 可通过 lsnrctl services 查看。"},
	},
	{
		Code: CodeDatabaseUnavailable, Phase: PhaseSession, Owner: OwnerDBA,
		Meaning: Words{"The database exists but accepts no connections now.", "数据库存在，但当前不接受连接。"},
		Remedy:  Words{"Open it: ALTER DATABASE ... ALLOW_CONNECTIONS true in PostgreSQL; a template database cannot be used. A Redis cluster serves all data only when its state is ok and every slot has a node (CLUSTER INFO).", "请开放该数据库：PostgreSQL 执行 ALTER DATABASE ... ALLOW_CONNECTIONS true；模板数据库不可用于连接。Redis 集群须状态为 ok 且所有槽位均已分配（CLUSTER INFO）。"},
	},
	{
		Code: CodePermissionDenied, Phase: PhaseSession, Owner: OwnerDBA,
		Meaning: Words{"The login passed, but the account has no right to use this database.", "登录成功，但账号没有使用该数据库的权限。"},
		Remedy:  Words{"Grant it: GRANT ... ON database.* TO the account in MySQL, which also answers so when the database does not exist; GRANT CONNECT ON DATABASE in PostgreSQL; GRANT CREATE SESSION in Oracle, where SYS may not log in as a normal user; in Redis, ACL SETUSER with the command that the evidence names.", "请授予权限：MySQL 执行 GRANT ... ON 数据库.* TO 账号（数据库不存在时 MySQL 也会如此答复）；PostgreSQL 执行 GRANT CONNECT ON DATABASE；Oracle 执行 GRANT CREATE SESSION，且不能以普通方式登录 SYS 用户；Redis 执行 ACL SETUSER，授予测试证据中所列的命令。"},
	},
	{
		Code: CodeSIDNotService, Phase: PhaseProtocol, Owner: OwnerCaller,
		Meaning: Words{"The name given is the SID of an Oracle instance; a service name is wanted.", "填写的名称是 Oracle 实例的 SID，而此处需要服务名。"},
		Remedy:  Words{"Give the service name (db_name); lsnrctl services lists those of the instance, often <SID>.<domain>.", "请填写服务名（db_name）；可通过 lsnrctl services 查看该实例的服务名，通常为 <SID>.<域名>。"},
	},
}

//nolint:gochecknoglobals // a constant table
var topologyVerdicts = []Verdict{
	{
		Code: CodeAdvertisedUnreachable, Phase: PhaseTopology, Owner: OwnerDBA,
		Meaning: Words{"The server answers, but it sends its clients to other addresses, and at least one of those cannot be reached from the test network.", "服务器可以连接，但其通告给客户端的其他地址中，至少有一个无法从测试网络访问。"},
		Remedy:  Words{"Have the server advertise addresses that clients can reach (advertised.listeners in Kafka, the host names in the replica set configuration of MongoDB, cluster-announce-ip in Redis, broadcast_rpc_address in Cassandra, local_listener in Oracle), or open the network to those listed in the evidence.", "请让服务器通告客户端可访问的地址（Kafka 的 advertised.listeners、MongoDB 副本集配置中的主机名、Redis 的 cluster-announce-ip、Cassandra 的 broadcast_rpc_address、Oracle 的 local_listener），或放行证据中列出的地址。"},
	},
	{
		Code: CodeTopologyMismatch, Phase: PhaseTopology, Owner: OwnerCaller,
		Meaning: Words{"The addresses listed for this endpoint do not belong together: they are of different clusters or sets, or not what the list should hold.", "为该连接填写的地址不属于同一集群或副本集，或节点类型不符。"},
		Remedy:  Words{"Compare the list with the members that the evidence shows, and name addresses of one cluster only. In Redis, rediscluster is for clusters and redis for single servers.", "请将地址列表与证据中的成员进行对照，并仅填写同一集群的地址。Redis 集群请选择 rediscluster，单个服务器请选择 redis。"},
	},
	{
		Code: CodeStandbyServer, Phase: PhaseTopology, Owner: OwnerCaller,
		Meaning: Words{"The server that the login was made to is a standby: it can be read, but takes no changes.", "登录到的服务器是备机：只能读取，不能写入。"},
		Remedy:  Words{"Give the address of the primary where data is to be written or changes are to be followed; in a list of addresses, put it first. After a switchover, test again.", "如需写入数据或捕获增量变更，请填写主机地址；填写多个地址时，请将主机放在首位。主备切换后，请重新测试。"},
	},
}

//nolint:gochecknoglobals // a constant table
var anywhereVerdicts = []Verdict{
	{
		Code:    CodeOK,
		Meaning: Words{"The endpoint works: it was reached, the login passed and the server answered.", "连接测试通过：已连通目标，登录成功，服务器响应正常。"},
		Remedy:  Words{"Nothing to do.", "无需处理。"},
	},
	{
		Code: CodeTimeoutHandshake, Owner: OwnerDBA,
		Meaning: Words{"The server answered, but the login was not finished in time.", "服务器有响应，但未在规定时间内完成登录。"},
		Remedy:  Words{"Check the load of the server, its own name or directory look-ups during logins (reverse DNS, LDAP), and the loss of packets on the way.", "请检查服务器负载、登录时服务器自身的名称或目录查询（反向 DNS、LDAP），以及网络途中的丢包情况。"},
	},
	{
		Code: CodeConnectionLost, Owner: OwnerNetwork,
		Meaning: Words{"The server had answered, and then the connection was closed or reset before the test was complete.", "服务器已有响应，但连接在测试完成前被关闭或重置。"},
		Remedy:  Words{"Look into the log of the server at this time; check for proxies, load balancers or firewalls that cut connections, and for an unstable network.", "请查看服务器在该时间点的日志；检查是否有代理、负载均衡或防火墙中断连接，以及网络是否稳定。"},
	},
	{
		Code: CodePeerAbusive, Owner: OwnerSecurity,
		Meaning: Words{"What answers behaves as no database does: it sent far too much, asked for excessive work, or sent what makes a client fail. The test was cut off.", "对端行为不像正常的数据库：发送的数据过多、要求过量的计算，或发送了会使客户端出错的数据。测试已中止。"},
		Remedy:  Words{"Check the address and the port, and find out what really listens there before any client connects to it.", "请检查地址和端口；在任何客户端连接之前，先查明该端口上实际运行的是什么。"},
	},
	{
		Code: CodeServerError, Owner: OwnerDBA,
		Meaning: Words{"The server answered with an error of its own. The evidence holds its number and text.", "服务器返回了自身的错误，错误码和文本见测试证据。"},
		Remedy:  Words{"Look the server's error number up in the manual of the database, and see the server's log.", "请在数据库手册中查找该错误码，并查看服务器日志。"},
	},
	{
		Code: CodeDeadlineExceeded, Owner: OwnerService,
		Meaning: Words{"This service did not finish the test in time. That says nothing about the database.", "本服务未能在规定时间内完成测试，这不说明数据库存在问题。"},
		Remedy:  Words{"Test again later or with fewer entries at once. If it happens again, tell the operator of this service.", "请稍后重试，或减少单次测试的数量；若再次出现，请联系本服务的运维人员。"},
	},
	{
		Code: CodeInterrupted, Owner: OwnerService,
		Meaning: Words{"The test was cut off by a fault of this service after the login had been sent. It was not repeated, so as not to log in twice.", "测试在登录信息发出后因本服务故障而中断；为避免重复登录，未再次测试。"},
		Remedy:  Words{"Test again. The database is not known to be at fault.", "请重新测试。没有迹象表明数据库存在问题。"},
	},
	{
		Code: CodeWorkerLost, Owner: OwnerService,
		Meaning: Words{"The worker that made the test disappeared, in every attempt. No login was sent.", "执行测试的节点在每次尝试中均失去响应。未发送登录信息。"},
		Remedy:  Words{"Test again later. If it happens again, tell the operator of this service.", "请稍后重试；若再次出现，请联系本服务的运维人员。"},
	},
	{
		Code: CodeCancelled, Owner: OwnerCaller,
		Meaning: Words{"The test was cancelled before it was complete.", "测试在完成之前被取消。"},
		Remedy:  Words{"Test again if the answer is still wanted.", "如仍需结果，请重新测试。"},
	},
	{
		Code: CodeInternal, Owner: OwnerService,
		Meaning: Words{"This service failed in a way that it does not know. That says nothing about the database.", "本服务发生未知错误，这不说明数据库存在问题。"},
		Remedy:  Words{"Test again. If it happens again, tell the operator of this service the request id.", "请重新测试；若再次出现，请将请求 ID 提供给本服务的运维人员。"},
	},
}
