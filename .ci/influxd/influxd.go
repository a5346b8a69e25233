//go:build tools

// Package influxd pins the InfluxDB server that the tests run against; ../build.sh builds it.
package influxd

import _ "github.com/influxdata/influxdb/v2/cmd/influxd"
