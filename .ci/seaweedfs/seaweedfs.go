//go:build tools

// Package seaweedfs pins the object store that the tests run against; ../../build.sh builds it.
package seaweedfs

import _ "github.com/seaweedfs/seaweedfs/weed"
