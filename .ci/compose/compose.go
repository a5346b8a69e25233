//go:build tools

// Package compose pins the Docker Compose that validates the compose files; ../build.sh builds it.
package compose

import _ "github.com/docker/compose/v5/cmd"
