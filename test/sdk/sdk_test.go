package sdk_test

import (
	_ "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	_ "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/drs/v3"
	_ "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/drs/v3/model"
)
